//! A seal holds for every thread of its process and for what does not ask the engine.
#![allow(clippy::unwrap_used)]

use crate::own_process;
use convscope_engine::data::{Image, load_images};
use convscope_engine::seal::{Bounds, Seal, close, held};
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
#[test]
fn no_thread_gets_out_of_a_seal() {
    let test = "sealing::no_thread_gets_out_of_a_seal";
    let Some(part) = own_process::part() else {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("own")).unwrap();
        std::fs::create_dir(root.join("out")).unwrap();
        Image::filled(3, 2, [1, 2, 3]).unwrap().save_png(root.join("own/a.png")).unwrap();
        Image::filled(3, 2, [1, 2, 3]).unwrap().save_png(root.join("secret.png")).unwrap();
        own_process::passes(&mut own_process::again(test, root.to_str().unwrap()));
        assert!(root.join("out/kept.png").is_file() && !root.join("new").exists());
        return;
    };
    let root = PathBuf::from(part);
    let bounds = Bounds { read: vec![root.join("own")], write: vec![root.join("out")], ..Bounds::default() };
    let sealed = close(&Seal { bounds, kernel: true, channel: false }).unwrap();
    assert_eq!(held(), Some(sealed));
    let secret = root.join("secret.png");
    let seen = |path: &Path| Image::open(path).map(|image| image.width());
    let engine = || {
        assert_eq!(seen(&root.join("own/a.png")).unwrap(), 3);
        assert!(seen(&secret).unwrap_err().message.contains("lies outside of what a sealed run may read"));
        assert!(load_images(root.join("own/../*.png")).is_err());
        assert!(convscope_engine::atomic::write(root.join("own/new"), b"x").is_err());
    };
    engine();
    std::thread::spawn({
        let root = root.clone();
        move || {
            let image = Image::open(root.join("own/a.png")).unwrap();
            image.save_png(root.join("out/kept.png")).unwrap();
            if sealed.files {
                let denied = |e: std::io::Error| assert_eq!(e.kind(), std::io::ErrorKind::PermissionDenied);
                denied(std::fs::read(root.join("secret.png")).unwrap_err());
                denied(std::fs::read("/etc/passwd").unwrap_err());
                denied(std::fs::read_dir(&root).map(drop).unwrap_err());
                denied(std::fs::write(root.join("new"), "x").unwrap_err());
                denied(std::fs::write(root.join("own/a.png"), "x").unwrap_err());
                denied(std::os::unix::fs::symlink("/etc/passwd", root.join("out/link")).unwrap_err());
                denied(std::fs::remove_file(root.join("own/a.png")).unwrap_err());
            }
            if sealed.calls {
                assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
                assert!(
                    std::net::TcpStream::connect("127.0.0.1:9").unwrap_err().kind()
                        == std::io::ErrorKind::PermissionDenied
                );
                assert!(std::process::Command::new("true").status().is_err());
                // Threads may be started, as many as wanted.
                std::thread::scope(|s| assert_eq!(s.spawn(|| 7).join().unwrap(), 7));
            }
        }
    })
    .join()
    .unwrap();
    engine();
    assert!(close(&Seal::default()).is_err());
}
