// The service as its tests use it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "harness/base/fd.h"
#include "harness/sessions/service.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::sessions {

// A service on a workspace and a share folder of its own; runs are performed by the fake supervisor
// of tests/e2e, which obeys words in the candidate.
class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path source = BITLOOP_SOURCE_DIR;
    const std::filesystem::path share = folder_ / "share";
    std::filesystem::create_directories(share / "quantizers");
    std::filesystem::create_directories(share / "tasks");
    std::filesystem::copy(source / "trainer/presets", share / "presets");
    for (const char* task : {"quick.json", "quick-mls.json"})
      std::filesystem::copy(source / "harness/tasks" / task, share / "tasks" / task);
    for (const char* name : {"program.md", "lua.md", "model.md"})
      ASSERT_TRUE(write_file_atomic(share / name, std::string(name) + "\n"));
    ASSERT_TRUE(
        write_file_atomic(share / "quantizers/ternary.lua",
                          "-- BEGIN EDITABLE quantizer\none\ntwo\n-- END EDITABLE\nreturn Q\n"));
    ::setenv("BITLOOP_SUPERVISOR", (source / "tests/e2e/fake_supervisor.py").c_str(), 1);
    open();
  }
  void open(std::chrono::milliseconds rest_after = std::chrono::minutes(1)) {
    service_.reset();
    auto opened = Service::open({.workspace = folder_ / "workspace",
                                 .share_dir = folder_ / "share",
                                 .jobs = 1,
                                 .allow_degraded = true,
                                 .rest_after = rest_after});
    ASSERT_TRUE(opened) << opened.error().message;
    service_ = std::move(*opened);
  }
  std::string create() { return service_->create({.task = "quick", .agent = "tester"})->id; }
  // Puts a line into the region.
  Result<EditAnswer> say(const std::string& id, const std::string& words) {
    EditRequest edit;
    edit.path = "candidate.lua";
    edit.op = "insert";
    edit.after_line = 1;
    edit.content = words;
    return service_->edit(id, edit);
  }
  TestView test(const std::string& id) {
    const auto started = service_->start_test(id, "");
    EXPECT_TRUE(started) << started.error().message;
    return *service_->test(id, started->test, 60'000);
  }
  std::string content(const std::string& id) {
    return service_->view(id, "candidate.lua", {}, {})->content;
  }
  std::string head(const std::string& id) { return service_->get(id)->commit; }

  test_support::ScratchFolder folder_;  // outlives the service
  std::unique_ptr<Service> service_;
};

}  // namespace bitloop::sessions
