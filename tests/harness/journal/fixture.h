// A workspace of its own for each test, and plain git to look at it.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "harness/base/text.h"
#include "harness/journal/journal.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::journal {

class Workspace {
 public:
  const std::filesystem::path& path() const { return folder_.path(); }

  struct Output {
    int status = -1;
    std::string text;
  };
  // Runs git in the journal; standard error is part of the text.
  Output git(const std::string& arguments) const {
    const std::string command = "git -C '" + (path() / "journal.git").string() +
                                "' -c safe.directory='*' " + arguments + " 2>&1";
    Output output;
    FILE* pipe = ::popen(command.c_str(), "r");
    if (!pipe) return output;
    char buffer[4096];
    while (const size_t count = std::fread(buffer, 1, sizeof buffer, pipe))
      output.text.append(buffer, count);
    const int status = ::pclose(pipe);
    output.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return output;
  }
  void expect_fsck_clean() const {
    const Output fsck = git("fsck --strict --full --no-dangling --no-progress");
    EXPECT_EQ(fsck.status, 0) << fsck.text;
    // A fresh journal's HEAD names a branch that does not exist yet; that is a notice.
    EXPECT_EQ(fsck.text.find("error"), std::string::npos) << fsck.text;
    EXPECT_EQ(fsck.text.find("warning"), std::string::npos) << fsck.text;
  }

 private:
  test_support::ScratchFolder folder_;
};

inline Event make_event(std::string kind, std::string sentence,
                        std::string candidate = "return {}\n") {
  Event event;
  event.kind = std::move(kind);
  event.sentence = std::move(sentence);
  event.candidate = std::move(candidate);
  event.session_json = "{}\n";
  return event;
}

}  // namespace bitloop::journal
