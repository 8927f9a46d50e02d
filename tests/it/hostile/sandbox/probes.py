"""Tries, from inside a registered command, everything that a sandbox has to close. Reads target.json, which names what
stands outside; writes probes.json: what each probe came to. `open` is an attack that worked, a name of an error is what
the kernel answered. Numbers of system calls are those of x86_64."""

import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
target = json.load(open("target.json"))
victim, outside, readable = target["victim"], target["outside"], target["readable"]
PROBES = {}


def probe(name):
    def add(action):
        PROBES[name] = action
        return action

    return add


def call(number, *arguments):
    ctypes.set_errno(0)
    arguments = [a if not isinstance(a, int) else ctypes.c_long(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def simple(name, number, *arguments, reached=()):
    """A system call that is refused before the kernel looks at what it is asked. `reached` are errors that only
    somebody gets who may make the call."""

    def action():
        try:
            call(number, *arguments)
        except OSError as error:
            if error.errno not in reached:
                raise

    PROBES[name] = action



def must(condition):
    if not condition:
        raise OSError(errno.EPERM, "no effect")


def in_child(action):
    """Runs what would change the process in a child of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        number = 0
        try:
            action()
        except OSError as error:
            number = error.errno
        os.write(writer, struct.pack("i", number))
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 4)
    os.close(reader)
    os.waitpid(child, 0)
    number = struct.unpack("i", answer)[0] if answer else errno.EIO
    if number:
        raise OSError(number, "")


# The network.
def connects(family, kind, protocol, address):
    def action():
        with socket.socket(family, kind, protocol) as sock:
            sock.settimeout(2)
            sock.connect(address)
            sock.send(b"x")

    return action


INET, INET6, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
STREAM, DGRAM, SEQPACKET, RAW = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW
PROBES["net.tcp"] = connects(INET, STREAM, 0, ("127.0.0.1", target["tcp"]))
PROBES["net.mptcp"] = connects(INET, STREAM, 262, ("127.0.0.1", target["tcp"]))
PROBES["net.udp"] = connects(INET, DGRAM, 0, ("127.0.0.1", target["udp"]))
PROBES["net.udplite"] = connects(INET, DGRAM, 136, ("127.0.0.1", target["udp"]))
for name, family, kind, protocol in [
    ("net.tcp6", INET6, STREAM, 0),
    ("net.mptcp6", INET6, STREAM, 262),
    ("net.sctp", INET, SEQPACKET, 132),
    ("net.dccp", INET, 6, 33),
    ("net.ping", INET, DGRAM, 1),
    ("net.raw", INET, RAW, 255),
    ("net.packet", 17, RAW, 0),
    ("net.netlink_route", 16, RAW, 0),
    ("net.netlink_diag", 16, RAW, 4),
    ("net.netlink_uevent", 16, RAW, 15),
    ("net.netlink_crypto", 16, RAW, 21),
    ("net.vsock", 40, STREAM, 0),
    ("net.alg", 38, SEQPACKET, 0),
    ("net.xdp", 44, RAW, 0),
    ("net.smc", 43, STREAM, 0),
    ("net.qipcrtr", 42, DGRAM, 0),
    ("net.kcm", 41, DGRAM, 0),
    ("net.tipc", 30, SEQPACKET, 0),
    ("net.can", 29, RAW, 1),
    ("net.pppox", 24, DGRAM, 0),
    ("net.rds", 21, SEQPACKET, 0),
    ("net.key", 15, RAW, 2),
]:
    PROBES[name] = lambda family=family, kind=kind, protocol=protocol: socket.socket(family, kind, protocol).close()


@probe("net.listen")
def _():
    with socket.socket(INET, STREAM) as sock:
        sock.bind(("0.0.0.0", 0))
        sock.listen()


@probe("net.connections_of_host")
def _():
    must(f":{target['tcp']:04X} " in open("/proc/net/tcp").read())


# Unix sockets.
PROBES["unix.stream"] = connects(UNIX, STREAM, 0, outside + "/stream")
PROBES["unix.dgram"] = connects(UNIX, DGRAM, 0, outside + "/dgram")
PROBES["unix.abstract"] = connects(UNIX, STREAM, 0, "\0" + target["abstract"])
PROBES["unix.seqpacket"] = lambda: socket.socket(UNIX, SEQPACKET).close()
PROBES["unix.raw"] = lambda: socket.socket(UNIX, RAW).close()


@probe("unix.pair_sendto")
def _():
    one, _other = socket.socketpair(UNIX, DGRAM)
    one.sendto(b"x", outside + "/dgram")


@probe("unix.pair_connect")
def _():
    one, _other = socket.socketpair(UNIX, DGRAM)
    one.connect(outside + "/dgram")


@probe("unix.stream_pair_connect")
def _():
    one, _other = socket.socketpair(UNIX, STREAM)
    one.connect(outside + "/stream")


# Keyrings.
simple("keys.add", 248, b"user", b"probe", b"x", 1, -4)
simple("keys.request", 249, b"user", b"probe-none", None, -4, reached=[errno.ENOKEY])
simple("keys.session", 250, 1, None)
simple("keys.user_keyring", 250, 0, -4, 1)
simple("keys.search", 250, 10, -4, b"user", b"none", 0, reached=[errno.ENOKEY])

# Namespaces.
for name, flag in [
    ("user", 0x10000000),
    ("net", 0x50000000),
    ("mount", 0x10020000),
    ("pid", 0x30000000),
    ("ipc", 0x18000000),
    ("uts", 0x14000000),
    ("cgroup", 0x12000000),
    ("time", 0x10000080),
]:
    PROBES["ns.unshare_" + name] = lambda flag=flag: in_child(lambda: call(272, flag))


@probe("ns.clone_user")
def _():
    child = call(56, 0x10000000 | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


@probe("ns.clone3_user")
def _():
    arguments = struct.pack("11Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
    child = call(435, arguments, len(arguments))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


PROBES["ns.setns_victim"] = lambda: in_child(lambda: call(308, call(434, victim, 0), 0x40000000))

# Other processes.
simple("proc.ptrace_seize", 101, 0x4206, victim, 0, 0)
PROBES["proc.ptrace_traceme"] = lambda: in_child(lambda: call(101, 0, 0, 0, 0))
iovec = (ctypes.c_void_p * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
remote = (ctypes.c_void_p * 2)(0x1000, 8)
simple("proc.vm_readv", 310, victim, iovec, 1, remote, 1, 0, reached=[errno.EFAULT])
simple("proc.vm_writev", 311, victim, iovec, 1, remote, 1, 0, reached=[errno.EFAULT])
simple("proc.kcmp", 312, os.getpid(), victim, 2, 0, 0)
PROBES["proc.pidfd_getfd"] = lambda: call(438, call(434, victim, 0), 0, 0)
simple("proc.madvise", 440, 0, iovec, 1, 4, 0, reached=[errno.EBADF, errno.EINVAL])
simple("proc.move_pages", 279, victim, 0, None, None, None, 0)
simple("proc.migrate_pages", 256, victim, 64, ctypes.create_string_buffer(8), ctypes.create_string_buffer(8),
       reached=[errno.EINVAL])
PROBES["proc.open_mem"] = lambda: open(f"/proc/{victim}/mem", "rb").close()
for name in ["environ", "maps", "auxv", "syscall", "stack"]:
    PROBES["proc.read_" + name] = lambda name=name: open(f"/proc/{victim}/{name}", "rb").read(1)
for name in ["cmdline", "status", "stat", "cgroup", "comm", "sched", "limits", "mountinfo"]:
    # Of the own processes somebody may have the number of the victim.
    PROBES["proc.see_" + name] = lambda name=name: must(
        open(f"/proc/{victim}/{name}").read() and target["marker"] in open(f"/proc/{victim}/cmdline").read())
PROBES["proc.list_fds"] = lambda: os.listdir(f"/proc/{victim}/fd")
PROBES["proc.root"] = lambda: open(f"/proc/{victim}/root{outside}/secret").read()
PROBES["proc.cwd"] = lambda: os.listdir(f"/proc/{victim}/cwd/")
PROBES["proc.namespaces"] = lambda: os.readlink(f"/proc/{victim}/ns/net")

# Signals, limits and priority of others.
PROBES["signal.kill"] = lambda: os.kill(victim, 0)
PROBES["signal.pidfd"] = lambda: call(424, call(434, victim, 0), 0, None, 0)
PROBES["signal.group"] = lambda: call(62, -victim, 0)
simple("signal.queue", 129, victim, 0, struct.pack("iii116x", 0, 0, -1))


@probe("signal.owner")
def _():
    reader, writer = os.pipe()
    fcntl.fcntl(reader, 8, victim)


simple("limits.prlimit", 302, victim, 7, None, ctypes.create_string_buffer(16))
PROBES["limits.priority"] = lambda: os.setpriority(os.PRIO_PROCESS, victim, 19)
simple("limits.priority_of_group", 141, 1, victim, 19)
simple("limits.ioprio", 251, 1, victim, 0x6000)
simple("limits.affinity", 203, victim, 8, struct.pack("Q", 3))
simple("limits.scheduler", 144, victim, 3, struct.pack("i", 0))

# The kernel.
simple("kernel.io_uring", 425, 4, ctypes.create_string_buffer(120))
simple("kernel.io_uring_enter", 426, -1, 0, 0, 0, 0, reached=[errno.EBADF])
simple("kernel.bpf_map", 321, 0, struct.pack("IIII", 2, 4, 4, 1) + bytes(112), 128)
simple("kernel.bpf_program", 321, 5, bytes(128), 128, reached=[errno.EINVAL, errno.E2BIG])
simple("kernel.perf", 298, struct.pack("IIQ", 1, 112, 0) + bytes(96), 0, -1, -1, 0)
simple("kernel.userfaultfd", 323, 1)
simple("kernel.fanotify", 300, 0x200, 0)
simple("kernel.dmesg", 103, 10, None, 0)
simple("kernel.name_to_handle", 303, -100, b".", ctypes.create_string_buffer(136), ctypes.create_string_buffer(8), 0,
       reached=[errno.EOVERFLOW])
simple("kernel.open_by_handle", 304, -100, bytes(16), 0, reached=[errno.EINVAL, errno.ESTALE])
simple("kernel.module", 175, bytes(8), 8, b"", reached=[errno.ENOEXEC, errno.EINVAL])
simple("kernel.delete_module", 176, b"none", 0, reached=[errno.ENOENT])
simple("kernel.kexec", 246, 0, 99, None, 0, reached=[errno.EINVAL])
simple("kernel.reboot", 169, 1, 2, 3, None, reached=[errno.EINVAL])
simple("kernel.swapon", 167, b"/none", 0, reached=[errno.ENOENT])
simple("kernel.quotactl", 179, 0x80000100, b"/none", 0, None, reached=[errno.ENOENT, errno.ENOTBLK])
simple("kernel.acct", 163, None)
simple("kernel.iopl", 172, 3)
simple("kernel.ioperm", 173, 0x80, 1, 1)
simple("kernel.hostname", 170, os.uname().nodename.encode(), len(os.uname().nodename))
simple("kernel.domainname", 171, b"x", 0)
simple("kernel.vhangup", 153)
simple("kernel.lookup_dcookie", 212, 0, None, 0)
simple("kernel.personality", 135, 0x0040000)
simple("kernel.modify_ldt", 154, 0, ctypes.create_string_buffer(8), 8)
PROBES["kernel.sysctl"] = lambda: open("/proc/sys/kernel/core_pattern", "r+").close()

# Mounts.
simple("mount.mount", 165, b"none", b"home", b"no-such-kind", 0, None, reached=[errno.ENODEV])
simple("mount.umount", 166, b"/none", 0, reached=[errno.ENOENT])
simple("mount.fsopen", 430, b"tmpfs", 0)
simple("mount.open_tree", 428, -100, b".", 1)
simple("mount.move_mount", 429, -100, b"none", -100, b"none", 0, reached=[errno.ENOENT])
simple("mount.setattr", 442, -100, b"none", 0, bytes(32), 32, reached=[errno.ENOENT, errno.EINVAL])
simple("mount.pivot_root", 155, b"none", b"none", reached=[errno.ENOENT])
PROBES["mount.chroot"] = lambda: in_child(lambda: os.chroot("home"))

# Files.
secret = outside + "/secret"
PROBES["file.read"] = lambda: open(secret).read()
PROBES["file.write"] = lambda: open(secret, "a").close()
PROBES["file.list"] = lambda: os.listdir(outside)
PROBES["file.create"] = lambda: open(outside + "/new", "x").close()
PROBES["file.mkdir"] = lambda: os.mkdir(outside + "/folder")
PROBES["file.link_out"] = lambda: os.symlink("/", outside + "/link")
PROBES["file.link_in"] = lambda: os.link(secret, "linked")
PROBES["file.rename"] = lambda: os.rename(outside + "/moved", outside + "/elsewhere")
PROBES["file.remove"] = lambda: os.unlink(outside + "/removed")
PROBES["file.truncate"] = lambda: os.truncate(outside + "/truncated", 1)
PROBES["file.execute"] = lambda: subprocess.run([outside + "/program"])
for name, folder in [("file.shared_memory", "/dev/shm"), ("file.temporary", "/tmp")]:
    path = f"{folder}/probe-{target['marker']}"
    PROBES[name] = lambda path=path: (open(path, "x").close(), os.unlink(path))
PROBES["file.device"] = lambda: os.mknod("device", 0o60600, os.makedev(7, 0))


@probe("file.watch")
def _():
    call(254, call(294, 0), outside.encode(), 0x100)


def changes(name, path, change):
    def action():
        before = os.stat(path)
        change(path)
        after = os.stat(path)
        must((before.st_mode, before.st_mtime) != (after.st_mode, after.st_mtime))

    PROBES[name] = action


changes("file.chmod", outside + "/moded", lambda path: os.chmod(path, 0o777))
changes("file.fchmodat2", outside + "/moded2", lambda path: call(452, -100, path.encode(), 0o777, 0))
changes("file.times", outside + "/timed", lambda path: os.utime(path, (1, 1)))
changes("file.chmod_readable", readable, lambda path: os.fchmod(os.open(path, os.O_RDONLY), 0o777))
changes("file.times_readable", readable, lambda path: os.utime(os.open(path, os.O_RDONLY), (1, 1)))


@probe("file.attribute")
def _():
    os.setxattr(outside + "/moded", "user.probe", b"x")
    must("user.probe" in os.listxattr(outside + "/moded"))


@probe("file.lease")
def _():
    fcntl.fcntl(os.open(readable, os.O_RDONLY), 1024, fcntl.F_RDLCK)


@probe("file.flags")
def _():
    fcntl.ioctl(os.open(readable, os.O_RDONLY), 0x40086602, struct.pack("l", 0x80))


# Memory that no process's counters show.
PROBES["memory.shmget"] = lambda: call(31, call(29, 0, 4096, 0o600), 0, None)
PROBES["memory.semget"] = lambda: call(66, call(64, 0, 1, 0o600), 0, 0)
PROBES["memory.msgget"] = lambda: call(71, call(68, 0, 0o600), 0, None)
PROBES["memory.mq_open"] = lambda: (call(240, b"probe", 0o102, 0o600, None), call(241, b"probe"))
simple("memory.secret", 447, 0)
simple("memory.huge_memfd", 319, b"probe", 4)
simple("memory.huge_map", 9, 0, 2 << 20, 3, 0x40022, -1, 0, reached=[errno.ENOMEM])


@probe("memory.pipe")
def _():
    reader, _writer = os.pipe()
    fcntl.fcntl(reader, 1031, 1 << 20)


# Privileges.
PROBES["root.setuid"] = lambda: in_child(lambda: os.setuid(1))
PROBES["root.setgroups"] = lambda: in_child(lambda: os.setgroups([1]))
PROBES["root.capabilities"] = lambda: must(
    int(open("/proc/self/status").read().split("CapEff:")[1].split()[0], 16) != 0)

results = {}
for name, action in PROBES.items():
    try:
        action()
        results[name] = "open"
    except OSError as error:
        results[name] = errno.errorcode.get(error.errno, str(error.errno))
    except Exception as error:
        results[name] = f"broken: {error!r}"
json.dump(results, open("probes.json", "w"), indent=1)
sys.exit(0)
