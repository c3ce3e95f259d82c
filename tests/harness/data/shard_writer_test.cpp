#include "harness/data/shard_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <numeric>

#include "harness/base/sha256.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::data {
namespace {

class Shards : public ::testing::Test {
 protected:
  static std::vector<uint16_t> numbers(size_t count, uint16_t first = 0) {
    std::vector<uint16_t> ids(count);
    std::iota(ids.begin(), ids.end(), first);
    return ids;
  }
  ShardWriter writer(int64_t tokens, ShardWriter::State state = {}) {
    return std::move(*ShardWriter::open(folder_.path(), "t", tokens, std::move(state)));
  }
  // The state after 30 ids of a writer that went on to write `more` and is gone.
  ShardWriter::State left_with(const std::vector<uint16_t>& more) {
    ShardWriter shards = writer(100);
    EXPECT_TRUE(shards.add(numbers(30)));
    EXPECT_TRUE(shards.flush());
    const ShardWriter::State state = shards.state();
    EXPECT_TRUE(shards.add(more));
    EXPECT_TRUE(shards.flush());
    return state;
  }
  // The ids of a shard; its header is checked.
  std::vector<uint16_t> read(const std::string& name) const {
    const std::string bytes = read_file(folder_ / name).value_or("");
    int32_t header[3] = {};
    if (bytes.size() >= 1024) std::memcpy(header, bytes.data(), sizeof header);
    EXPECT_EQ(header[0], 20240520) << name;
    EXPECT_EQ(header[1], 1);
    EXPECT_EQ(bytes.size(), 1024 + 2 * static_cast<size_t>(header[2]));
    std::vector<uint16_t> ids(static_cast<size_t>(header[2]));
    std::memcpy(ids.data(), bytes.data() + 1024, 2 * ids.size());
    return ids;
  }
  bool exists(const std::string& name) const { return std::filesystem::exists(folder_ / name); }

  test_support::ScratchFolder folder_;
};

TEST_F(Shards, AreFilledOneAfterTheOther) {
  ShardWriter shards = writer(100);
  ASSERT_TRUE(shards.add(numbers(70)));
  ASSERT_TRUE(shards.add(numbers(170, 70)));
  EXPECT_EQ(shards.state().shards.size(), 2U);
  EXPECT_EQ(shards.tokens(), 240);
  EXPECT_FALSE(exists("t_000003.bin"));
  ASSERT_TRUE(shards.finish());
  EXPECT_EQ(read("t_000001.bin"), numbers(100));
  EXPECT_EQ(read("t_000002.bin"), numbers(100, 100));
  EXPECT_EQ(read("t_000003.bin"), numbers(40, 200));
  EXPECT_FALSE(exists("t_000003.bin.part"));
  Sha256 hash;
  hash.add(read_file(folder_ / "t_000002.bin").value());
  EXPECT_EQ(shards.state().shards[1].sha256, hash.finish());
  EXPECT_EQ(shards.state().shards[2].tokens, 40);
}

TEST_F(Shards, WhatWasNotWrittenDownIsCutOff) {
  const ShardWriter::State state = left_with(numbers(20, 1000));
  ShardWriter shards = writer(100, state);
  ASSERT_TRUE(shards.add(numbers(20, 30)));
  ASSERT_TRUE(shards.finish());
  EXPECT_EQ(read("t_000001.bin"), numbers(50));
}

TEST_F(Shards, OneThatWasFinishedSinceIsTakenUpAgain) {
  const ShardWriter::State state = left_with(numbers(90, 5000));
  ASSERT_TRUE(exists("t_000001.bin") && exists("t_000002.bin.part"));
  ShardWriter shards = writer(100, state);
  ASSERT_TRUE(shards.add(numbers(90, 30)));
  ASSERT_TRUE(shards.finish());
  EXPECT_EQ(read("t_000001.bin"), numbers(100));
  EXPECT_EQ(read("t_000002.bin"), numbers(20, 100));
}

TEST_F(Shards, APartThatIsGoneIsNotMadeUp) {
  const auto shards = ShardWriter::open(folder_.path(), "t", 100, {{}, 30});
  ASSERT_FALSE(shards);
  EXPECT_EQ(shards.error().code, "bad_document");
  EXPECT_EQ(ShardWriter::open(folder_ / "none", "t", 100, {{}, 30}).error().code, "file_not_found");
}

TEST_F(Shards, NothingMakesNoFile) {
  ShardWriter shards = writer(100);
  ASSERT_TRUE(shards.flush());
  ASSERT_TRUE(shards.finish());
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace bitloop::data
