// What tests of the jail share: a scratch folder, a policy for the guest program, and one call that
// runs it.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "harness/base/fd.h"
#include "sandbox/jail.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::testing {

class JailTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const sandbox::LayerState& layer : sandbox::probe())
      if (layer.state != "active" && layer.layer != "cgroup")
        GTEST_SKIP() << "this machine has no complete sandbox: " << layer.layer << " is "
                     << layer.state;
    std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
    std::filesystem::create_directory(folder_ / "output");
  }

  sandbox::Policy policy(std::vector<std::string> arguments) const {
    sandbox::Policy policy;
    policy.program = BITLOOP_TEST_GUEST;
    policy.arguments = std::move(arguments);
    policy.output = folder_ / "output";
    policy.output_writable = true;
    policy.tmp_bytes = 1 << 20;
    policy.memory_bytes = 256 << 20;
    policy.file_bytes = 8 << 20;
    policy.threads = 4;
    policy.cpu_time = std::chrono::seconds(60);
    policy.deadline = std::chrono::seconds(60);
    return policy;
  }

  // Runs the policy to its end; what the guest said on stdout is in said_.
  sandbox::Verdict run(sandbox::Policy policy) {
    said_.clear();
    auto output = make_pipe();
    policy.descriptors.push_back({output->write.get(), 1});
    std::vector<sandbox::LayerState> layers;
    auto jail = sandbox::Jail::start(policy, &layers);
    output->write.reset();
    if (!jail) {
      ADD_FAILURE() << jail.error().code << ": " << jail.error().message;
      return {};
    }
    const sandbox::Stream streams[] = {{output->read.get(), [&](std::string_view data) {
                                          said_ += data;
                                          return std::optional<sandbox::KilledBy>();
                                        }}};
    return jail->wait(streams);
  }

  // The control: the same attempt without some layers.
  sandbox::Verdict run_without(sandbox::Policy policy, std::set<std::string> layers) {
    policy.disable_for_test = std::move(layers);
    policy.allow_degraded = true;
    return run(std::move(policy));
  }

  // The control without any jail: a plain child. Returns its wait status.
  static int run_free(const std::vector<std::string>& arguments) {
    const pid_t child = ::fork();
    if (child == 0) {
      std::vector<char*> argv{const_cast<char*>("guest")};
      for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      ::freopen("/dev/null", "w", stdout);
      ::execv(BITLOOP_TEST_GUEST, argv.data());
      ::_exit(127);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  }

  test_support::ScratchFolder folder_;
  std::string said_;
};

}  // namespace bitloop::testing
