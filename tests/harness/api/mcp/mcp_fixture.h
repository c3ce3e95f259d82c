// A service on folders of its own, with the fake supervisor of tests/e2e, and messages to it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "harness/api/mcp/messages.h"
#include "harness/api/mcp/versions.h"
#include "harness/api/routes.h"
#include "harness/base/fd.h"
#include "harness/sessions/service.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::api::mcp {

using nlohmann::json;
using nlohmann::ordered_json;

class McpFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path source = BITLOOP_SOURCE_DIR;
    const std::filesystem::path share = folder_ / "share";
    std::filesystem::create_directories(share / "quantizers");
    std::filesystem::create_directories(share / "tasks");
    std::filesystem::copy(source / "trainer/presets", share / "presets");
    std::filesystem::copy(source / "harness/tasks/quick.json", share / "tasks/quick.json");
    for (const char* name : {"program.md", "lua.md", "model.md"})
      ASSERT_TRUE(write_file_atomic(share / name, std::string(name) + "\n"));
    ASSERT_TRUE(
        write_file_atomic(share / "quantizers/ternary.lua",
                          "-- BEGIN EDITABLE quantizer\none\ntwo\n-- END EDITABLE\nreturn Q\n"));
    ::setenv("BITLOOP_SUPERVISOR", (source / "tests/e2e/fake_supervisor.py").c_str(), 1);
    auto opened = sessions::Service::open({folder_ / "workspace", share, 1, true});
    ASSERT_TRUE(opened) << opened.error().message;
    service_ = std::move(*opened);
  }

  // A run outlives its service: what a test left running is ended here, once it has been started.
  void TearDown() override {
    for (const sessions::ListedSession& session : service_->list()) {
      const auto view = service_->get(session.id);
      for (const sessions::TestView& test : view->tests)
        for (int i = 0;
             i < 200 && test.status == "running" && !service_->cancel(session.id, test.test); ++i)
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  std::vector<Route> routes() { return make_routes(*service_, {}); }
  std::string create() { return service_->create({.task = "quick"})->id; }

  test_support::ScratchFolder folder_;  // outlives the service
  std::unique_ptr<sessions::Service> service_;
};

// A request of the first era.
inline Message request(const std::string& method, json params = json::object(), json id = 1) {
  return {Message::Kind::kRequest, std::move(id), method, std::move(params)};
}

// The same of the second.
inline Message modern_request(const std::string& method, json params = json::object()) {
  params["_meta"] = {{kVersionKey, kModernVersion},
                     {kClientCapabilitiesKey, json::object()},
                     {kClientInfoKey, {{"name", "tester"}}}};
  return request(method, std::move(params));
}

inline Message tool_call(const std::string& name, json arguments = json::object()) {
  return request("tools/call", {{"name", name}, {"arguments", std::move(arguments)}});
}

// A message as it is sent.
inline json wire(const Message& message) {
  json document = {{"jsonrpc", "2.0"}, {"method", message.method}, {"params", message.params}};
  if (message.kind == Message::Kind::kRequest) document["id"] = message.id;
  return document;
}

}  // namespace bitloop::api::mcp
