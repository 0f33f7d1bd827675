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
const OWN_FILES: [&str; 4] =
    ["/proc/self/status", "/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// What is added to the numbers of calls in the x32 form.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// System calls that are refused: sockets; other programs; other processes; rights, owners and attributes of files, which
/// landlock does not restrict; what processes of one machine share (its clock, its name, queues); and calls that would evade these.
const REFUSED_CALLS: &[libc::c_long] = &[
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
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_syslog,
    libc::SYS_quotactl,
    libc::SYS_mknodat,
    libc::SYS_inotify_init1,
    libc::SYS_fanotify_init,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
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

/// System calls that are refused where their first argument names another process than this one.
const OF_OTHERS: [libc::c_long; 9] = [
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_migrate_pages,
];

/// Requests of `ioctl` that are refused: flags and attributes of a file (FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR).
const REQUESTS: [u64; 2] = [0x4008_6602, 0x401c_5820];

/// The newest system call that was looked at: what came after it does not exist for a sealed process.
const NEWEST_CALL: libc::c_long = 451;
/// How many numbers behind it are taken for calls.
const NEWER_CALLS: libc::c_long = 200;

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
        .and_then(|rules| rules.add_rules(path_beneath_rules(OWN_FILES, AccessFs::ReadFile)))
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
    let when = |argument, length: SeccompCmpArgLen, op, value| {
        SeccompCondition::new(argument, length, op, value).map_err(|e| wrong(&e))
    };
    let rule = |conditions| SeccompRule::new(conditions).map_err(|e| wrong(&e));
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = REFUSED_CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let process = SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64);
    refused.insert(libc::SYS_clone, vec![rule(vec![when(0, SeccompCmpArgLen::Qword, process, 0)?])?]);
    for call in OF_OTHERS {
        let is_not = |id: u32| when(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(id));
        refused.insert(call, vec![rule(vec![is_not(0)?, is_not(std::process::id())?])?]);
    }
    let asks = |request| rule(vec![when(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)?]);
    refused.insert(libc::SYS_ioctl, REQUESTS.into_iter().map(asks).collect::<Result<_>>()?);
    let newer = (NEWEST_CALL + 1..=NEWEST_CALL + NEWER_CALLS).chain([libc::SYS_clone3]);
    let mut absent: BTreeMap<i64, Vec<SeccompRule>> = newer.map(|call| (call, Vec::new())).collect();
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
