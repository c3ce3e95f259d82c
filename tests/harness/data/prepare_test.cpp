#include "harness/data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

#include "harness/base/fd.h"
#include "tests/support/scratch_folder.h"
#include "trainer/tokenizer/gpt2.h"

namespace bitloop::data {
namespace {

using testing::HasSubstr;

class PrepareTest : public ::testing::Test {
 protected:
  PrepareTest() {
    for (int file = 0; file < 3; ++file) {
      std::ofstream out(folder_ / ("part" + std::to_string(file) + ".jsonl"));
      for (int i = 0; i < 4000; ++i) {
        texts_.push_back("Document " + std::to_string(i * 7919 + file) + " says: it's 100% new, " +
                         std::string(static_cast<size_t>(i % 50), 'x') + ".\n");
        out << nlohmann::json{{"text", texts_.back()}}.dump() << "\n";
      }
    }
    options_.sources = {folder_.path()};
    options_.vocabulary = BITLOOP_VOCABULARY;
    options_.shard_tokens = 50'000;
    options_.held_out = 0.1;
    options_.jobs = 2;
  }
  Result<Prepared> into(const char* name) {
    options_.to = folder_ / name;
    return prepare(options_);
  }
  // The names of a folder's files, each with its content, but for times and names in the manifest.
  std::map<std::string, std::string> content(const char* name) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / name))
      files[entry.path().filename()] = read_file(entry.path()).value_or("");
    return files;
  }
  static std::vector<int32_t> ids_of(const std::map<std::string, std::string>& files,
                                     const std::string& stem) {
    std::vector<int32_t> ids;
    for (const auto& [name, bytes] : files)
      if (name.starts_with(stem) && name.ends_with(".bin"))
        for (size_t i = 1024; i + 1 < bytes.size(); i += 2)
          ids.push_back(static_cast<uint8_t>(bytes[i]) | static_cast<uint8_t>(bytes[i + 1]) << 8);
    return ids;
  }

  test_support::ScratchFolder folder_;
  std::vector<std::string> texts_;
  PrepareOptions options_;
};

TEST_F(PrepareTest, EveryDocumentIsOnOneSideBehindAnEndOfText) {
  const auto prepared = into("out");
  ASSERT_TRUE(prepared) << prepared.error().message;
  EXPECT_EQ(prepared->documents, 12'000);
  EXPECT_NEAR(static_cast<double>(prepared->held_out), 1200, 150);
  const auto files = content("out");
  const auto tokenizer = tokenizer::Gpt2::load(BITLOOP_VOCABULARY);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  std::multiset<std::string> found;
  for (const char* stem : {"data_train", "data_val"}) {
    std::vector<int32_t> document;
    auto ids = ids_of(files, stem);
    ASSERT_EQ(ids.front(), tokenizer::Gpt2::kEndOfText);
    ids.push_back(tokenizer::Gpt2::kEndOfText);
    for (size_t i = 1; i < ids.size(); ++i) {
      if (ids[i] != tokenizer::Gpt2::kEndOfText) {
        document.push_back(ids[i]);
        continue;
      }
      found.insert(tokenizer->decode(document).value());
      EXPECT_EQ(document, tokenizer->encode(*tokenizer->decode(document)));
      document.clear();
    }
  }
  EXPECT_EQ(found, std::multiset<std::string>(texts_.begin(), texts_.end()));
  EXPECT_GE(prepared->train.size(), 3U);
  EXPECT_EQ(prepared->train.front().tokens, 50'000);
  EXPECT_EQ(static_cast<size_t>(prepared->train_tokens), ids_of(files, "data_train").size());
}

TEST_F(PrepareTest, ThreadsAndStopsChangeNothing) {
  ASSERT_TRUE(into("whole"));
  const auto whole = content("whole");
  options_.jobs = 7;
  ASSERT_TRUE(into("many"));
  EXPECT_EQ(content("many"), whole);
  // Stopped after every batch, until it is done.
  int calls = 0;
  options_.on_progress = [&](uint64_t, uint64_t, int64_t) { return ++calls > 5; };
  options_.jobs = 1;
  for (int i = 0; i < 5; ++i) {
    const auto stopped = into("often");
    if (stopped) break;  // three files are few batches
    EXPECT_EQ(stopped.error().code, "interrupted");
  }
  EXPECT_GT(calls, 1);
  options_.on_progress = {};
  const auto prepared = into("often");
  ASSERT_TRUE(prepared) << prepared.error().message;
  EXPECT_EQ(content("often"), whole);
  const auto again = into("often");
  EXPECT_TRUE(again->was_done);
  EXPECT_EQ(again->train_tokens, prepared->train_tokens);
}

// The same length, one bit of one token.
TEST_F(PrepareTest, AShardThatIsNotAsItWasWrittenIsNamed) {
  ASSERT_TRUE(into("out"));
  const auto shard = folder_ / "out" / "data_train_000002.bin";
  {
    std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(5000);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(5000);
    file.put(byte);
  }
  const auto again = into("out");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, "bad_document");
  EXPECT_THAT(again.error().message, HasSubstr("data_train_000002.bin: is not what was written"));
  std::filesystem::remove(shard);
  EXPECT_THAT(into("out").error().message, HasSubstr("is not there any more"));
}

TEST_F(PrepareTest, OtherInputsAreNotMixed) {
  ASSERT_TRUE(into("out"));
  options_.held_out = 0.2;
  EXPECT_THAT(into("out").error().message, HasSubstr("other sources or settings"));
  options_.held_out = 0.1;
  std::ofstream(folder_ / "part0.jsonl", std::ios::app) << "{\"text\": \"more\"}\n";
  EXPECT_EQ(into("out").error().code, "wrong_usage");
  // Nor written over.
  std::filesystem::remove(folder_ / "out" / "manifest.json");
  EXPECT_THAT(into("out").error().message, HasSubstr("is there already"));
  std::ofstream(folder_ / "out" / "manifest.json") << "{}";
  EXPECT_THAT(into("out").error().message, HasSubstr("can't be read"));
}

TEST_F(PrepareTest, AWrongLineEndsItWithItsName) {
  std::ofstream(folder_ / "part1.jsonl", std::ios::app) << "{\"text\": 1}\n";
  const auto failed = into("out");
  EXPECT_EQ(failed.error().code, "bad_document");
  EXPECT_THAT(failed.error().message, HasSubstr("part1.jsonl:4001: "));
}

}  // namespace
}  // namespace bitloop::data
