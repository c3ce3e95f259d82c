// kill -9 at any moment, for tests of what survives it.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::test_support {

// Runs `work` in a child, kills it, and returns the lines that it had acknowledged: those that it
// wrote whole to the descriptor it is given. `work` must go on for ever; when it ends by itself the
// test fails.
inline std::vector<std::string> kill_while(std::mt19937& random,
                                           const std::function<void(int acknowledged)>& work) {
  auto pipe = make_pipe().value();
  const pid_t child = ::fork();
  if (child == 0) {
    work(pipe.write.get());
    ::_exit(99);
  }
  pipe.write.reset();
  // Killed at a random moment after a random number of lines, so that a slow machine gets as far as
  // a fast one.
  std::string text;
  const auto lines = std::uniform_int_distribution<ptrdiff_t>(0, 10)(random);
  while (std::ranges::count(text, '\n') < lines) {
    char byte = 0;
    if (::read(pipe.read.get(), &byte, 1) != 1) break;
    text += byte;
  }
  ::usleep(std::uniform_int_distribution<useconds_t>(0, 5'000)(random));
  ::kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
  // A last line without its newline was not acknowledged in full.
  text += read_all(pipe.read.get()).value();
  text.erase(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1);
  return split_lines(text);
}

}  // namespace bitloop::test_support
