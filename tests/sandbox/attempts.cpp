#include "tests/sandbox/attempts.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include "tests/sandbox/neighbours.h"

namespace bitloop::testing {
namespace {

using Argument = const std::string&;

int result(long value) { return value < 0 ? errno : 0; }

int socket_of(int family) { return result(::socket(family, SOCK_STREAM, 0)); }

int try_fork(Argument) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  if (child > 0) ::waitpid(child, nullptr, 0);
  return result(child);
}

int try_thread(Argument) {
  pthread_t thread;
  const int error = ::pthread_create(
      &thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
  if (error == 0) ::pthread_join(thread, nullptr);
  return error;
}

// Starts `argument` threads that stay; EAGAIN when not all could be.
int try_many_threads(Argument count) {
  for (int i = 0; i < std::atoi(count.c_str()); ++i) {
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, 64 << 10);
    pthread_t thread;
    const int error = ::pthread_create(
        &thread, &attributes, [](void*) -> void* { return ::sleep(1000), nullptr; }, nullptr);
    if (error != 0) return error;
  }
  return 0;
}

int try_map_exec(Argument) {
  return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                 MAP_FAILED
             ? errno
             : 0;
}

int try_protect_exec(Argument) {
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return page == MAP_FAILED ? errno : result(::mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

// A file behind descriptor 0.
int try_map_file(Argument) {
  return ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, 0, 0) == MAP_FAILED ? errno : 0;
}

int try_int80(Argument) {
  long value = 0;
#ifdef __x86_64__
  asm volatile("int $0x80" : "=a"(value) : "a"(20) : "memory");  // getpid of 32-bit programs
#endif
  return value > 0 ? 0 : ENOSYS;
}

int try_connect(Argument port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(port.c_str())));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return fd < 0 ? errno
                : result(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
}

int try_open(Argument path) { return result(::open(path.c_str(), O_RDONLY)); }

// To write, and for nothing else: what is there is not changed.
int try_open_to_write(Argument path) { return result(::open(path.c_str(), O_WRONLY)); }

int try_write_file(Argument path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  return fd < 0 ? errno : result(::write(fd, "x", 1));
}

int fill(const std::string& path, size_t megabytes) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  if (fd < 0) return errno;
  static char block[1 << 20];
  for (size_t i = 0; i < megabytes; ++i)
    if (::write(fd, block, sizeof block) < 0) return errno;
  return 0;
}

// Forks `argument` processes that stay for a second; EAGAIN when not all could be.
int try_many_processes(Argument count) {
  for (int i = 0; i < std::atoi(count.c_str()); ++i) {
    const pid_t child = ::fork();
    if (child < 0) return errno;
    if (child == 0) {
      ::sleep(1);
      ::_exit(0);
    }
  }
  return 0;
}

// A crash would leave the process's memory, and the data in it, in a file.
int try_core_dump(Argument) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return errno;
  return limit.rlim_cur > 0 ? 0 : EFBIG;
}

// Copies /bin/true to `folder` and executes it there.
int try_own_program(Argument folder) {
  const std::string path = folder + "/own";
  const int in = ::open("/proc/self/exe", O_RDONLY);
  const int out = ::open(path.c_str(), O_WRONLY | O_CREAT, 0700);
  if (out < 0) return errno;
  static char block[1 << 16];
  for (ssize_t count; in >= 0 && (count = ::read(in, block, sizeof block)) > 0;)
    if (::write(out, block, static_cast<size_t>(count)) < 0) return errno;
  ::close(out);
  char name[] = "own", quit[] = "nothing";
  char* argv[] = {name, quit, nullptr};
  char* envp[] = {nullptr};
  ::execve(path.c_str(), argv, envp);
  return errno;
}

int try_execve(Argument) {
  char name[] = "true";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  ::execve("/bin/true", argv, envp);
  return errno;
}

// Touches `argument` MiB.
int try_memory(Argument megabytes) {
  for (int i = 0; i < std::atoi(megabytes.c_str()); ++i) {
    void* block =
        ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return errno;
    std::memset(block, 1, 1 << 20);
  }
  return 0;
}

// One allocation of `argument` MiB, untouched.
int try_reserve(Argument megabytes) {
  const size_t size = static_cast<size_t>(std::atoi(megabytes.c_str())) << 20;
  return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                 MAP_FAILED
             ? errno
             : 0;
}

int try_sleep(Argument milliseconds) {
  for (int i = 0; i < std::atoi(milliseconds.c_str()); i += 10) ::usleep(10000);
  return 0;
}

int try_spin(Argument seconds) {
  timespec now{};
  do {
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  } while (now.tv_sec < std::atoi(seconds.c_str()));
  return 0;
}

// Deaf to every signal that a program can be deaf to.
void ignore_signals() {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_IGN);
}

int try_deaf_spin(Argument seconds) {
  ignore_signals();
  return try_spin(seconds);
}

int try_deaf_sleep(Argument milliseconds) {
  ignore_signals();
  return try_sleep(milliseconds);
}

int try_deaf_fill(Argument path) {
  ignore_signals();
  return fill(path, 64);
}

// A daemon: forks twice, ignores what can be ignored, and keeps descriptor 1 open, on which it says
// its number.
int try_daemon(Argument) {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) {
    ::setsid();
    ignore_signals();
    const pid_t daemon = ::fork();
    if (daemon == 0) {
      ::prctl(PR_SET_PDEATHSIG, 0);
      while (true) ::sleep(1000);
    }
    ::dprintf(1, "daemon %d\n", static_cast<int>(daemon));
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  return 0;
}

int try_meet(Argument fd) {
  char heard = 0;  // what the other end says to who said something
  if (::write(std::atoi(fd.c_str()), "m", 1) != 1) return errno;
  return ::read(std::atoi(fd.c_str()), &heard, 1) == 1 ? 0 : EPIPE;
}

int try_talk(Argument fd) {
  char heard = 0;
  const bool said = ::send(std::atoi(fd.c_str()), "t", 1, 0) == 1;
  return said && ::recv(std::atoi(fd.c_str()), &heard, 1, 0) == 1 ? 0 : errno;
}

// Some descriptor beside 0, 1, 2 and those named in the argument ("3,4") is open.
int try_leaked_descriptor(Argument expected) {
  for (int fd = 3; fd < 1024; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0 &&
        ("," + expected + ",").find("," + std::to_string(fd) + ",") == std::string::npos)
      return 0;
  return EBADF;
}

// The host's name, given as the argument, is the one that is seen.
int try_host_name(Argument name) {
  char seen[256] = {};
  if (::gethostname(seen, sizeof seen - 1) != 0) return errno;
  return name == seen ? 0 : ENOENT;
}

int try_environment(Argument name) { return ::getenv(name.c_str()) ? 0 : ENOENT; }

int try_setrlimit(Argument) {
  rlimit limit{};
  (void)::getrlimit(RLIMIT_CORE, &limit);  // may be refused itself
  return result(::syscall(SYS_prlimit64, 0, RLIMIT_CORE, &limit, nullptr));
}

int try_read_memory(Argument pid) {
  char byte;
  iovec local{&byte, 1}, remote{reinterpret_cast<void*>(0x400000), 1};
  const long count =
      ::syscall(SYS_process_vm_readv, std::atol(pid.c_str()), &local, 1, &remote, 1, 0);
  return count < 0 && errno == EFAULT ? 0 : result(count);  // allowed to look, nothing there
}

// Types into the terminal behind descriptor 0, for whoever reads it next (CVE-2017-5226).
int try_tiocsti(Argument) {
  const char byte = 'x';
  return result(::ioctl(0, TIOCSTI, &byte));
}

// Whether an ioctl request, in hexadecimal, gets as far as to find that there is no such
// descriptor.
int try_request(Argument request) {
  ::ioctl(999, std::strtoul(request.c_str(), nullptr, 16), nullptr);
  return errno == EBADF ? 0 : errno;
}

// Opens a device file and asks it for what NVIDIA's driver would do; others have no such request.
int try_control(Argument path) {
  const int fd = ::open(path.c_str(), O_RDWR);
  if (fd < 0) return errno;
  ::ioctl(fd, 0xc020462aUL, nullptr);
  return errno == ENOTTY ? 0 : errno;
}

// Shared memory of the file behind a descriptor.
int try_map_descriptor(Argument fd) {
  return ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, std::atoi(fd.c_str()), 0) ==
                 MAP_FAILED
             ? errno
             : 0;
}

// As the loader maps a library.
int try_map_code(Argument path) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  if (fd < 0) return errno;
  return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? errno : 0;
}

// Says what is in a folder.
int try_list(Argument path) {
  DIR* folder = ::opendir(path.c_str());
  if (folder == nullptr) return errno;
  std::set<std::string> names;
  while (const dirent* entry = ::readdir(folder))
    if (entry->d_name[0] != '.') names.insert(entry->d_name);
  ::closedir(folder);
  for (const std::string& name : names) std::printf("%s ", name.c_str());
  return 0;
}

// As CUDA does with its threads.
int try_name_thread(Argument process) {
  const std::string path = "/proc/" + process + "/task/" + std::to_string(::gettid()) + "/comm";
  return try_write_file(path);
}

// As libcuda does.
int try_listen(Argument) {
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  const int on = 1;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path + 1, "bitloop-test");
  if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
      ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return errno;
  return result(::listen(fd, 1));
}

int try_connect_unix(Argument) {
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  return fd < 0 ? errno
                : result(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
}

// An array of one number, in the kernel.
int try_bpf(Argument) {
  union bpf_attr attributes {};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = attributes.value_size = 4;
  attributes.max_entries = 1;
  return result(::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

// Watches everything that runs on the first processor.
int try_perf(Argument) {
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof attributes;
  attributes.config = PERF_COUNT_SW_CPU_CLOCK;
  return result(::syscall(SYS_perf_event_open, &attributes, -1, 0, -1, 0));
}

int try_clone3_namespace(Argument) {
  struct {
    uint64_t flags, rest[10];
  } arguments{CLONE_NEWUSER, {}};
  arguments.rest[3] = SIGCHLD;
  const long child = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child == 0) ::_exit(0);
  return result(child);
}

int try_truncate_weights(Argument) { return result(::ftruncate(1, 0)); }

const std::map<std::string, int (*)(Argument)>& table() {
  static const std::map<std::string, int (*)(Argument)> attempts = {
      {"nothing", [](Argument) { return 0; }},
      {"open", try_open},
      {"open_to_write", try_open_to_write},
      {"write_file", try_write_file},
      {"unlink", [](Argument path) { return result(::unlink(path.c_str())); }},
      {"chdir", [](Argument) { return result(::chdir("/")); }},
      {"mknod",
       [](Argument path) { return result(::mknod(path.c_str(), S_IFCHR | 0600, makedev(1, 1))); }},
      {"fill_64_mb", [](Argument path) { return fill(path, 64); }},
      {"own_program", try_own_program},
      {"execve", try_execve},
      {"socket_inet", [](Argument) { return socket_of(AF_INET); }},
      {"socket_unix", [](Argument) { return socket_of(AF_UNIX); }},
      {"socket_vsock", [](Argument) { return socket_of(AF_VSOCK); }},
      {"connect", try_connect},
      {"fork", try_fork},
      {"thread", try_thread},
      {"many_threads", try_many_threads},
      {"many_processes", try_many_processes},
      {"daemon", try_daemon},
      {"kill_init", [](Argument) { return result(::kill(1, SIGKILL)); }},
      {"signal_process", [](Argument pid) { return result(::kill(std::atoi(pid.c_str()), 0)); }},
      {"ptrace", [](Argument) { return result(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }},
      {"read_memory", try_read_memory},
      {"io_uring",
       [](Argument) {
         char parameters[120] = {};
         return result(::syscall(SYS_io_uring_setup, 1, parameters));
       }},
      {"memfd", [](Argument) { return result(::memfd_create("x", 0)); }},
      {"map_exec", try_map_exec},
      {"protect_exec", try_protect_exec},
      {"map_file", try_map_file},
      {"int80", try_int80},
      {"x32", [](Argument) { return result(::syscall(0x40000000 | 39)); }},
      {"prctl", [](Argument) { return result(::prctl(PR_SET_DUMPABLE, 1)); }},
      {"setrlimit", try_setrlimit},
      {"core_dump", try_core_dump},
      {"keyctl", [](Argument) { return result(::syscall(SYS_keyctl, 0, -3, 1)); }},
      {"bpf", try_bpf},
      {"userfaultfd", [](Argument) { return result(::syscall(SYS_userfaultfd, 1)); }},
      {"perf", try_perf},
      {"unshare", [](Argument) { return result(::unshare(CLONE_NEWUSER)); }},
      {"setns", [](Argument) { return result(::setns(0, 0)); }},
      {"clone3_namespace", try_clone3_namespace},
      {"mount", [](Argument) { return result(::mount("none", "/tmp", "tmpfs", 0, nullptr)); }},
      {"pivot_root", [](Argument) { return result(::syscall(SYS_pivot_root, "/tmp", "/tmp")); }},
      {"tiocsti", try_tiocsti},
      {"request", try_request},
      {"control", try_control},
      {"map_descriptor", try_map_descriptor},
      {"map_code", try_map_code},
      {"list", try_list},
      {"name_thread", try_name_thread},
      {"listen", try_listen},
      {"connect_unix", try_connect_unix},
      {"meet", try_meet},
      {"talk", try_talk},
      {"accept", [](Argument fd) { return result(::accept(std::stoi(fd), nullptr, nullptr)); }},
      {"leaked_descriptor", try_leaked_descriptor},
      {"host_name", try_host_name},
      {"environment", try_environment},
      {"memory", try_memory},
      {"memory_and_sleep",
       [](Argument megabytes) { return try_memory(megabytes) + try_sleep("5000"); }},
      {"reserve", try_reserve},
      {"sleep", try_sleep},
      {"spin", try_spin},
      {"deaf_spin", try_deaf_spin},
      {"deaf_sleep", try_deaf_sleep},
      {"deaf_fill", try_deaf_fill},
      {"write_zero",
       [](Argument) {
         volatile int* nowhere = nullptr;
         *nowhere = 1;
         return 0;
       }},
      {"abort", [](Argument) -> int { ::abort(); }},
      {"ftruncate", try_truncate_weights},
  };
  return attempts;
}

bool has_the_machines_mounts() {
  char first[64] = {}, own[64] = {};
  return ::readlink("/proc/self/ns/mnt", own, sizeof own - 1) > 0 &&
         ::readlink("/proc/1/ns/mnt", first, sizeof first - 1) > 0 && std::strcmp(first, own) == 0;
}

}  // namespace

int attempt(const std::string& name, const std::string& argument) {
  // These would do real harm to a machine where root runs the tests: where procfs shows the mounts
  // of the machine's first process they are not tried.
  for (const char* harmful : {"mount", "pivot_root", "kill_init"})
    if (name == harmful && has_the_machines_mounts()) return ECANCELED;
  for (const auto* attempts : {&table(), &neighbour_attempts()})
    if (const auto found = attempts->find(name); found != attempts->end())
      return found->second(argument);
  return EINVAL;
}

}  // namespace bitloop::testing
