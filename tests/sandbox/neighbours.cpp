#include "tests/sandbox/neighbours.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bitloop::testing {
namespace {

using Argument = const std::string&;

int result(long value) { return value < 0 ? errno : 0; }

// For a neighbour's time: until the jail is killed, or a minute.
int hold(int error) {
  if (error != 0) return error;
  std::printf("holding %d\n", static_cast<int>(::getpid()));
  std::fflush(stdout);
  ::sleep(60);
  return 0;
}

key_t key_of(Argument text) { return static_cast<key_t>(std::atol(text.c_str())); }

// The segment is marked for removal by its holder only: the memory namespace of a jail ends with
// it, and a control without one is cleaned up by "remove_shared_memory".
int hold_shared_memory(Argument key) {
  return hold(result(::shmget(key_of(key), 4096, IPC_CREAT | IPC_EXCL | 0666)));
}
int find_shared_memory(Argument key) { return result(::shmget(key_of(key), 4096, 0)); }
int remove_shared_memory(Argument key) {
  const int segment = ::shmget(key_of(key), 4096, 0);
  return segment < 0 ? errno : result(::shmctl(segment, IPC_RMID, nullptr));
}

int hold_semaphores(Argument key) {
  return hold(result(::semget(key_of(key), 1, IPC_CREAT | IPC_EXCL | 0666)));
}
int find_semaphores(Argument key) { return result(::semget(key_of(key), 1, 0)); }
int remove_semaphores(Argument key) {
  const int set = ::semget(key_of(key), 1, 0);
  return set < 0 ? errno : result(::semctl(set, 0, IPC_RMID));
}

int hold_messages(Argument key) {
  return hold(result(::msgget(key_of(key), IPC_CREAT | IPC_EXCL | 0666)));
}
int find_messages(Argument key) { return result(::msgget(key_of(key), 0)); }
int remove_messages(Argument key) {
  const int queue = ::msgget(key_of(key), 0);
  return queue < 0 ? errno : result(::msgctl(queue, IPC_RMID, nullptr));
}

std::string queue_name(Argument key) { return "/bitloop-" + key; }
int hold_posix_queue(Argument key) {
  mq_attr small{};
  small.mq_maxmsg = 1;
  small.mq_msgsize = 16;
  return hold(result(::mq_open(queue_name(key).c_str(), O_RDWR | O_CREAT | O_EXCL, 0666, &small)));
}
int find_posix_queue(Argument key) { return result(::mq_open(queue_name(key).c_str(), O_RDONLY)); }
int remove_posix_queue(Argument key) { return result(::mq_unlink(queue_name(key).c_str())); }

// A socket whose name is in no file system: a leading NUL.
socklen_t abstract_name(Argument key, sockaddr_un& address) {
  const std::string name = "bitloop-" + key;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}
int hold_abstract_socket(Argument key) {
  sockaddr_un address{};
  const socklen_t size = abstract_name(key, address);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return errno;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return errno;
  return hold(result(::listen(fd, 4)));
}
int find_abstract_socket(Argument key) {
  sockaddr_un address{};
  const socklen_t size = abstract_name(key, address);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  return fd < 0 ? errno : result(::connect(fd, reinterpret_cast<sockaddr*>(&address), size));
}

int hold_file(Argument path) {
  ::umask(0);  // for everybody to read
  return hold(result(::open(path.c_str(), O_WRONLY | O_CREAT, 0666)));
}

}  // namespace

const std::map<std::string, int (*)(const std::string&)>& neighbour_attempts() {
  static const std::map<std::string, int (*)(Argument)> attempts = {
      {"hold_nothing", [](Argument) { return hold(0); }},
      {"hold_file", hold_file},
      {"hold_shared_memory", hold_shared_memory},
      {"find_shared_memory", find_shared_memory},
      {"remove_shared_memory", remove_shared_memory},
      {"hold_semaphores", hold_semaphores},
      {"find_semaphores", find_semaphores},
      {"remove_semaphores", remove_semaphores},
      {"hold_messages", hold_messages},
      {"find_messages", find_messages},
      {"remove_messages", remove_messages},
      {"hold_posix_queue", hold_posix_queue},
      {"find_posix_queue", find_posix_queue},
      {"remove_posix_queue", remove_posix_queue},
      {"hold_abstract_socket", hold_abstract_socket},
      {"find_abstract_socket", find_abstract_socket},
  };
  return attempts;
}

}  // namespace bitloop::testing
