//! The kernel's part of a seal on Linux: landlock restricts files, seccomp the network and other programs. Both are
//! inherited by the threads that are started later and cannot be taken back.

use super::{Bounds, Held};
use crate::error::{Error, Result};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// Files that the program itself reads while it runs: the memory that it uses and may use.
const OWN: [&str; 4] =
    ["/proc/self/status", "/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// What is added to the numbers of calls in the x32 form.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// System calls that are refused: sockets; other programs; other processes; rights, owners and attributes of files, which
/// landlock does not restrict; and calls that would evade either.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_utimensat,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
];

/// Asks the kernel to enforce `bounds` for this thread and those that it starts; returns what it enforces.
///
/// # Errors
/// Where it knows the rules and refuses them.
pub fn apply(bounds: &Bounds) -> Result<Held> {
    Ok(Held { files: files(bounds)?, calls: calls()? })
}

/// Whether landlock is active now. Kernels know more or fewer of its rules; all know those for reading and writing files.
fn files(bounds: &Bounds) -> Result<bool> {
    let wrong = |e: &dyn std::fmt::Display| Error::internal(format!("landlock: {e}"));
    let abi = ABI::V6;
    let look: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let make = AccessFs::MakeDir | AccessFs::MakeReg | AccessFs::RemoveDir | AccessFs::RemoveFile;
    let change = look | make | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::Refer;
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .map_err(|e| wrong(&e))?;
    let status = rules
        .add_rules(path_beneath_rules(&bounds.read, look))
        .and_then(|rules| rules.add_rules(path_beneath_rules(OWN, AccessFs::ReadFile)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(&bounds.write, change)))
        .and_then(|rules| rules.restrict_self())
        .map_err(|e| wrong(&e))?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Whether seccomp is active now. A process that is no thread of this one cannot be started: the flags of `clone` are
/// checked, and `clone3`, whose flags seccomp cannot read, returns "not implemented", so that the C library uses `clone`.
fn calls() -> Result<bool> {
    let wrong = |e: &dyn std::fmt::Display| Error::internal(format!("seccomp: {e}"));
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(false) };
    let processes =
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64), 0);
    let process = SeccompRule::new(vec![processes.map_err(|e| wrong(&e))?]).map_err(|e| wrong(&e))?;
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    refused.insert(libc::SYS_clone, vec![process]);
    let mut absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    // The same calls by their other numbers, for kernels that serve programs of 32-bit pointers.
    #[cfg(target_arch = "x86_64")]
    for rules in [&mut refused, &mut absent] {
        rules.append(&mut rules.keys().map(|call| (call | X32, Vec::new())).collect());
    }
    for (rules, code) in [(refused, libc::EPERM), (absent, libc::ENOSYS)] {
        let refusal = SeccompAction::Errno(code as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, arch).map_err(|e| wrong(&e))?;
        let program: BpfProgram = filter.try_into().map_err(|e: seccompiler::BackendError| wrong(&e))?;
        match seccompiler::apply_filter(&program) {
            Ok(()) => {}
            // A kernel without it.
            Err(seccompiler::Error::Prctl(e)) if e.raw_os_error() == Some(libc::EINVAL) => return Ok(false),
            Err(e) => return Err(wrong(&e)),
        }
    }
    Ok(true)
}
