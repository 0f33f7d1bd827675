"""Asks the kernel what every Jupyter kernel is asked (jupyter_kernel_test); nothing is left unset, so nothing but the
pager, which convscope has no use for, is skipped. Run by tests/it/notebooks.rs."""

import unittest

import jupyter_kernel_test

class Conformance(jupyter_kernel_test.KernelTests):
    kernel_name = "convscope"
    language_name = "rhai"
    file_extension = ".rhai"
    code_hello_world = "print(`hello, world`)"
    code_stderr = "debug(`a remark`)"
    completion_samples = [
        {"text": "load_ima", "matches": {"load_image", "load_images"}},
        {"text": "occlusion(#{ str", "matches": {"stride"}},
        {"text": "zeros([1]).nor", "matches": {"norm"}},
    ]
    complete_code_samples = ["1", "let x = (1 + 2);", "fn f(x) {\n    x * 2\n}\n", "`a\nb`"]
    incomplete_code_samples = ["let x = (1 +", "fn f(x) {", "`a", "/* a", "#{ a: 1,"]
    invalid_code_samples = ["let let = 1;", "x)", "let 5 = x;"]
    code_generate_error = "load_model(`shapes`).layer(`conv_5`)"
    code_execute_result = [
        {"code": "40 + 2", "result": "42"},
        {"code": "[1, 2.5, `a`]", "result": "[1, 2.5, a]"},
        {"code": "load_model(`shapes`).predict(shapes(1)[0], 2)", "mime": "text/html"},
        {"code": "shapes(1)[0]", "mime": "image/png"},
    ]
    code_display_data = [
        {"code": "show(shapes(1)[0])", "mime": "image/png"},
        {"code": "markdown(`# A title`)", "mime": "text/markdown"},
        {"code": "show(table([#{ a: 1 }]))", "mime": "text/html"},
    ]
    code_history_pattern = "40*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "occlusion"
    code_clear_output = "clear_output()"


class Welcome(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "convscope"
    support_iopub_welcome = True


def pager_only(result):
    """Whether nothing was skipped but the pager."""
    return [test.id().rsplit(".", 1)[-1] for test, _ in result.skipped] == ["test_pager"]


if __name__ == "__main__":
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    raise SystemExit(0 if result.wasSuccessful() and pager_only(result) else 1)
