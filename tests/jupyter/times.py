"""Measures the kernel as a front end feels it: until it answers, a trivial cell, a completion, 100,000 printed lines.
Usage: times.py PROGRAM"""

import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from jupyter_client import BlockingKernelClient


def ports(n):
    listeners = [socket.socket() for _ in range(n)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    found = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


def started(program, folder):
    """A kernel, its client, and the seconds until it answered."""
    names = ["shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"]
    info = {"transport": "tcp", "ip": "127.0.0.1", "key": "k", "signature_scheme": "hmac-sha256"}
    info.update(zip(names, ports(5)))
    file = pathlib.Path(folder) / "connection.json"
    file.write_text(json.dumps(info))
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    begun = time.perf_counter()
    process = subprocess.Popen([program, "kernel", "start", "-f", str(file)])
    while True:
        try:
            socket.create_connection(("127.0.0.1", info["shell_port"])).close()
            break
        except OSError:
            time.sleep(0.001)
    client.start_channels()
    client.kernel_info()
    client.get_shell_msg(timeout=10)
    return process, client, time.perf_counter() - begun


def until_idle(client):
    """The bytes printed until the cell has ended."""
    printed = 0
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream":
            printed += len(message["content"]["text"])
        if message["content"].get("execution_state") == "idle" and message["parent_header"].get("msg_type") == "execute_request":
            return printed


def timed(client, ask):
    begun = time.perf_counter()
    ask()
    client.get_shell_msg(timeout=60)
    return time.perf_counter() - begun


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        ready = []
        for _ in range(10):
            process, client, seconds = started(program, folder)
            ready.append(seconds)
            client.shutdown()
            process.wait()
            client.stop_channels()
        process, client, _ = started(program, folder)
        timed(client, lambda: client.execute("let net = load_model(`shapes`);"))
        until_idle(client)
        cells, completions = [], []
        for i in range(200):
            cells.append(timed(client, lambda: client.execute(f"{i} + 1")))
            until_idle(client)
        for text in ["grad", "net.", "net.layer(\"c", "occlusion(#{ "] * 25:
            completions.append(timed(client, lambda: client.complete(text)))
        begun = time.perf_counter()
        client.execute("for i in 0..100000 { print(`line ${i}`); }")
        printed = until_idle(client)
        lines = time.perf_counter() - begun
        client.shutdown()
        process.wait()
    milliseconds = lambda values: f"median {statistics.median(values) * 1000:.2f} ms, most {max(values) * 1000:.2f} ms"
    print(f"ready: {milliseconds(ready)}")
    print(f"trivial cell: {milliseconds(cells)}")
    print(f"completion: {milliseconds(completions)}")
    print(f"100,000 lines: {lines:.2f} s, {printed} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
