#include "trainer/data/dataset.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

using testing::HasSubstr;

class DatasetTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "bitloop-dataset-" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "/texts");
  }
  void write(const std::string& name, const std::string& content) {
    ASSERT_TRUE(write_file_atomic(folder_ + "/" + name, content));
  }
  static std::string words(std::initializer_list<uint16_t> ids, int64_t repeat) {
    std::string bytes;
    for (int64_t i = 0; i < repeat; ++i)
      for (const uint16_t id : ids)
        bytes += {static_cast<char>(id & 0xff), static_cast<char>(id >> 8)};
    return bytes;
  }
  static std::string llmc(int32_t magic, int32_t count, const std::string& body) {
    std::string shard(1024, '\0');
    const int32_t fields[] = {magic, 1, count};
    std::memcpy(shard.data(), fields, sizeof fields);
    shard += body;
    return shard;
  }
  std::string folder_;
  ModelConfig model_ = small_model();
};

TEST_F(DatasetTest, EveryNthFileFromTheFirstNamedIsValidation) {
  for (int i = 1; i <= 15; ++i)
    write("texts/" + std::string(1, static_cast<char>('a' + i)) + ".txt",
          std::string(20, static_cast<char>('A' + i)));
  write("texts/notes.md", "not data");
  const auto data =
      open_dataset({.format = "bytes", .path = "texts", .val_path = ""}, model_, folder_);
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->validation.size(), 40);  // files 4 and 14
  EXPECT_EQ(data->train.size(), 13 * 20);
  std::vector<int64_t> ids(40);
  data->validation.copy(0, 40, ids.data());
  EXPECT_EQ(ids.front(), 'A' + 4);
  EXPECT_EQ(ids.back(), 'A' + 14);
}

TEST_F(DatasetTest, BatchesDependOnSeedStepAndRowAlone) {
  const TokenStream stream = TokenStream::from_bytes(std::string(1000, 'x') + "tail of the stream");
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 31 % 251);
  const TokenStream mixed = TokenStream::from_bytes(text);
  const Batch whole = training_batch(mixed, 42, 3, 0, 8, 12),
              half = training_batch(mixed, 42, 3, 4, 4, 12);
  EXPECT_TRUE(at::equal(whole.inputs_BT.narrow(0, 4, 4), half.inputs_BT));
  EXPECT_TRUE(at::equal(whole.inputs_BT.narrow(1, 1, 11), whole.targets_BT.narrow(1, 0, 11)));
  EXPECT_FALSE(at::equal(whole.inputs_BT, training_batch(mixed, 42, 4, 0, 8, 12).inputs_BT));
  EXPECT_FALSE(at::equal(whole.inputs_BT, training_batch(mixed, 43, 3, 0, 8, 12).inputs_BT));
}

TEST_F(DatasetTest, ValidationWindowsLieSideBySide) {
  const TokenStream stream =
      TokenStream::from_bytes("abcdefghijk");  // 11: two windows of 5 and their targets
  EXPECT_EQ(validation_windows(stream, 5), 2);
  const Batch batch = validation_batch(stream, 1, 1, 5);
  EXPECT_EQ(batch.inputs_BT[0][0].item<int64_t>(), 'f');
  EXPECT_EQ(batch.targets_BT[0][4].item<int64_t>(), 'k');
}

TEST_F(DatasetTest, ReadsUint16FilesAndLlmcShards) {
  write("t.bin", words({1, 2, 3}, 50));
  write("v.bin", llmc(20240520, 150, words({4, 5, 6}, 50)));
  EXPECT_TRUE(
      open_dataset({.format = "tokens16", .path = "t.bin", .val_path = "t.bin"}, model_, folder_));
  const auto shard =
      open_dataset({.format = "llmc", .path = "v.bin", .val_path = "v.bin"}, model_, folder_);
  ASSERT_TRUE(shard) << shard.error().message;
  EXPECT_EQ(shard->train.size(), 150);
}

TEST_F(DatasetTest, ShardsInARowAreOneStream) {
  for (int shard = 0; shard < 3; ++shard) {
    std::string body;
    for (int i = 0; i < 10; ++i) body += {static_cast<char>((shard * 10 + i) % 17), '\0'};
    write("s" + std::to_string(shard) + ".bin", llmc(20240520, 10, body));
  }
  DataConfig config{.format = "llmc", .path = "s*.bin", .val_path = "s*.bin"};
  config.files = {folder_ + "/s0.bin", folder_ + "/s1.bin", folder_ + "/s2.bin"};
  config.val_files = {folder_ + "/s2.bin", folder_ + "/s0.bin"};
  const auto data = open_dataset(config, model_, folder_);
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->train.size(), 30);
  EXPECT_EQ(data->validation.size(), 20);
  for (int64_t begin = 0; begin < 30; ++begin)
    for (int64_t count = 1; begin + count <= 30; ++count) {
      std::vector<int64_t> ids(static_cast<size_t>(count));
      data->train.copy(begin, count, ids.data());
      for (int64_t i = 0; i < count; ++i)
        ASSERT_EQ(ids[static_cast<size_t>(i)], (begin + i) % 17) << begin << " " << count;
    }
  config.files = {folder_ + "/s0.bin", folder_ + "/gone.bin"};
  EXPECT_THAT(open_dataset(config, model_, folder_).error().message, HasSubstr("gone.bin"));
  config.files = {};
  EXPECT_THAT(open_dataset(config, model_, folder_).error().message,
              HasSubstr("s*.bin: no file has such a name"));
  config.format = "tokens16";
  EXPECT_THAT(open_dataset(config, model_, folder_).error().message, HasSubstr("data.format=llmc"));
}

TEST_F(DatasetTest, TokensOfGpt2KnowTheirBytes) {
  // "Hello world", the end of a text, and again, long enough for a window.
  write("gpt2.bin", words({15496, 995, 50256}, 8));
  model_.vocab_size = 50257;
  const DataConfig config{
      .format = "tokens16", .path = folder_ + "/gpt2.bin", .val_path = folder_ + "/gpt2.bin"};
  const auto known = open_dataset(config, model_, BITLOOP_DEPS_DIR "/data");
  ASSERT_TRUE(known) << known.error().message;
  EXPECT_EQ(known->validation.bytes(0, 3), 11);
  EXPECT_EQ(known->validation.bytes(1, 3), 11);
  EXPECT_EQ(open_dataset(config, model_, folder_)->validation.bytes(0, 3), std::nullopt);
  EXPECT_EQ(TokenStream::from_bytes("abc").bytes(0, 2), 2);
}

TEST_F(DatasetTest, SaysWhatIsWrongWithAFile) {
  write("odd.bin", words({1}, 50) + "x");
  write("big.bin", words({1, 17}, 50));  // the vocabulary has 17: ids to 16
  write("short.bin", words({1}, 5));
  write("magic.bin", llmc(7, 150, words({4, 5, 6}, 50)));
  write("cut.bin", llmc(20240520, 151, words({4, 5, 6}, 50)));
  const auto message = [&](const char* format, const char* file) {
    const auto data =
        open_dataset({.format = format, .path = file, .val_path = file}, model_, folder_);
    return data ? std::string("opened") : data.error().message;
  };
  EXPECT_THAT(message("tokens16", "odd.bin"), HasSubstr("no whole number"));
  EXPECT_THAT(message("tokens16", "big.bin"), HasSubstr("token 17 at position 1"));
  EXPECT_THAT(message("tokens16", "short.bin"), HasSubstr("shorter than one window"));
  EXPECT_THAT(message("tokens16", "none.bin"), HasSubstr("none.bin"));
  EXPECT_THAT(message("llmc", "magic.bin"), HasSubstr("not an llm.c shard"));
  EXPECT_THAT(message("llmc", "cut.bin"), HasSubstr("promises 151"));
  EXPECT_THAT(message("llmc", "short.bin"), HasSubstr("header"));
  EXPECT_THAT(message("parquet", "t.bin"), HasSubstr("unknown"));
}

}  // namespace
}  // namespace bitloop::trainer
