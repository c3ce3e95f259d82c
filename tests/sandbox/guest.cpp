// A program to put into a jail: guest [locked] ATTEMPT [ARGUMENT]. Exit code 0: the attempt worked;
// 1: it was refused (stdout says why); 2: the program could not be set up. With "locked" it narrows
// its system calls first, as the trainer does.
#include <cstdio>
#include <cstring>
#include <string>

#include "sandbox/lock_down.h"
#include "tests/sandbox/attempts.h"

int main(int argc, char** argv) {
  int at = 1;
  if (argc > at && std::string(argv[at]) == "locked") {
    ++at;
    if (auto locked = bitloop::sandbox::lock_down(bitloop::sandbox::LockDownProfile::kCpu);
        !locked) {
      std::printf("%s\n", locked.error().message.c_str());
      return 2;
    }
  }
  if (argc <= at) return 2;
  const int error = bitloop::testing::attempt(argv[at], argc > at + 1 ? argv[at + 1] : "");
  std::printf("%s\n", error == 0 ? "worked" : std::strerror(error));
  std::fflush(stdout);
  return error == 0 ? 0 : 1;
}
