#include "harness/jobs/initial_files.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "harness/base/fd.h"

namespace bitloop::jobs {
namespace {

using Json = nlohmann::ordered_json;

TEST(InitialFiles, AreOpenedInTheirOrderAndGetTheirNumbers) {
  const std::string path = testing::TempDir() + "initial-file-" + std::to_string(::getpid());
  ASSERT_TRUE(write_file_atomic(path, "weights"));
  Json job = {{"init_from",
               {{"files", {{{"path", "a"}, {"file", path}}, {{"path", "b"}, {"file", path}}}}}}};
  const auto files = open_initial_files(job, 6);
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ(job["init_from"]["files"][0]["fd"], 6);
  EXPECT_EQ(job["init_from"]["files"][1]["fd"], 7);
  for (const UniqueFd& file : *files) EXPECT_EQ(read_all(file.get(), 100).value(), "weights");
}

TEST(InitialFiles, AJobMayHaveNone) {
  for (Json job : {Json::object(), Json{{"init_from", nullptr}}}) {
    const auto files = open_initial_files(job, 6);
    ASSERT_TRUE(files);
    EXPECT_TRUE(files->empty());
  }
}

TEST(InitialFiles, WhatCantBeOpenedIsNamed) {
  Json gone = {{"init_from", {{"files", {{{"file", "/nowhere/weights"}}}}}}};
  const auto files = open_initial_files(gone, 6);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, "init_unavailable");
  EXPECT_THAT(files.error().message, testing::HasSubstr("/nowhere/weights"));
  for (Json wrong : {Json{{"init_from", 3}}, Json{{"init_from", {{"files", {1}}}}},
                     Json{{"init_from", {{"files", {{{"path", "a"}}}}}}}})
    EXPECT_EQ(open_initial_files(wrong, 6).error().code, "bad_job");
}

}  // namespace
}  // namespace bitloop::jobs
