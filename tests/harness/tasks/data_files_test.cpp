#include "harness/tasks/data_files.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/scratch_folder.h"

namespace bitloop::tasks {
namespace {

using nlohmann::json;

class DataFiles : public ::testing::Test {
 protected:
  DataFiles() {
    std::filesystem::create_directories(folder_ / "shards" / "web_train_9.bin");  // a folder
    for (const char* name : {"web_train_2.bin", "web_train_1.bin", "web_val_1.bin",
                             "web_train_1.bin.part", ".web_train_0.bin", "other.bin", "a[1]_1.bin"})
      std::ofstream(folder_ / "shards" / name) << "x";
  }
  json files(const json& data) const { return data_files({{"data", data}}, folder_.path()); }
  std::string at(const char* name) const { return (folder_ / "shards" / name).string(); }

  test_support::ScratchFolder folder_;
};

TEST_F(DataFiles, APatternNamesFilesInTheirOrder) {
  const json expected = {{"path", {at("web_train_1.bin"), at("web_train_2.bin")}},
                         {"val_path", {at("web_val_1.bin")}}};
  EXPECT_EQ(files({{"path", "shards/web_train_*.bin"}, {"val_path", "shards/web_val_*.bin"}}),
            expected);
  EXPECT_EQ(files({{"path", at("web_train_*.bin")}, {"val_path", at("web_val_1.bin")}}),
            (json{{"path", expected["path"]}}));
}

TEST_F(DataFiles, NamesWithoutAStarAreNotPatterns) {
  EXPECT_TRUE(files({{"path", "shakespeare"}}).is_null());
  EXPECT_TRUE(files(json::object()).is_null());
  EXPECT_TRUE(data_files(json::object(), folder_.path()).is_null());
}

TEST_F(DataFiles, NothingElseIsSpecialAndNothingMayMatch) {
  EXPECT_EQ(files({{"path", "shards/a[1]_*.bin"}})["path"], json::array({at("a[1]_1.bin")}));
  EXPECT_EQ(files({{"path", "shards/none_*.bin"}})["path"], json::array());
  EXPECT_EQ(files({{"path", "nowhere/none_*.bin"}})["path"], json::array());
}

}  // namespace
}  // namespace bitloop::tasks
