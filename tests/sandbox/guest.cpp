// A program to put into a jail: guest [locked|locked-cuda|locked-connected] ATTEMPT [ARGUMENT].
// Exit code 0: the attempt worked; 1: it was refused (stdout says why); 2: the program could not be
// set up. With "locked" it narrows its system calls first, as the trainer does; with "locked-cuda"
// it opens the first GPU before that, as CUDA does; "locked-connected" is a rank's with
// connections.
#include <fcntl.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "sandbox/lock_down.h"
#include "tests/sandbox/attempts.h"

int main(int argc, char** argv) {
  int at = 1;
  const std::string first = argc > at ? argv[at] : "";
  if (first == "locked" || first == "locked-cuda" || first == "locked-connected") {
    ++at;
    using bitloop::sandbox::LockDownProfile;
    const bool cuda = first == "locked-cuda";
    if (cuda) (void)!::open("/dev/nvidia0", O_RDWR);
    if (auto locked = bitloop::sandbox::lock_down(
            cuda ? LockDownProfile::kCuda : LockDownProfile::kCpu, first == "locked-connected");
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
