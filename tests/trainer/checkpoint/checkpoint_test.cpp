#include "trainer/checkpoint/checkpoint.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "tests/support/scratch_folder.h"
#include "trainer/checkpoint/checkpoint_files.h"

namespace bitloop::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

const std::string kRun(64, 'a');

Checkpoint checkpoint_of(int64_t step) {
  return {
      step,
      {{"steps", step}},
      {{"w", at::full({3, 2}, static_cast<double>(step))}, {"adamw.first.w", at::randn({3, 2})}}};
}

class CheckpointTest : public ::testing::Test {
 protected:
  static Result<MappedTensors> parse(const fs::path& path) {
    const auto fd = open_file(path, O_RDONLY);
    const auto mapped = MappedFile::map(fd->get());
    if (!mapped) return std::unexpected(mapped.error());
    return MappedTensors::parse(*mapped);
  }
  static Result<Checkpoint> read(const fs::path& path, const std::string& run = kRun) {
    BITLOOP_ASSIGN(file, parse(path));
    return read_checkpoint(file, run);
  }
  void write(const Checkpoint& checkpoint) {
    const auto fd = open_file(path_, O_RDWR | O_CREAT);
    ASSERT_TRUE(write_checkpoint(fd->get(), checkpoint, kRun));
  }
  std::unique_ptr<CheckpointFiles> files(int64_t keep = 2) const {
    return std::move(*CheckpointFiles::open(folder_.path(), keep));
  }
  // The step of the newest one that another process would find.
  int64_t newest(std::vector<std::string>& complaints, const std::string& run = kRun) const {
    const auto found = files()->newest(run, complaints);
    EXPECT_TRUE(found) << (found ? "" : found.error().message);
    if (!found || !*found) return 0;
    const Checkpoint& newest = **found;
    EXPECT_EQ(newest.tensors.back().first, "w");
    EXPECT_EQ(newest.tensors.back().second.mean().item<float>(), static_cast<float>(newest.step));
    return newest.step;
  }

  test_support::ScratchFolder folder_;
  const fs::path path_ = folder_ / "checkpoint-0.safetensors";
};

TEST_F(CheckpointTest, ComesBackBitForBit) {
  const Checkpoint before = checkpoint_of(7);
  write(checkpoint_of(100));
  write(before);  // in its place
  const auto after = read(path_);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->step, 7);
  EXPECT_EQ(after->progress, before.progress);
  ASSERT_EQ(after->tensors.size(), 2U);
  EXPECT_TRUE(at::equal(after->tensors[0].second, before.tensors[1].second));
  EXPECT_TRUE(at::equal(after->tensors[1].second, before.tensors[0].second));
}

TEST_F(CheckpointTest, WhatIsCutOrFlippedIsRefused) {
  write(checkpoint_of(7));
  const std::string whole = *read_file(path_);
  for (size_t size = 1; size < whole.size(); size += 5) {
    fs::resize_file(path_, size);
    EXPECT_FALSE(read(path_)) << size;
    std::ofstream(path_, std::ios::binary) << whole;
  }
  size_t refused = 0;
  for (size_t place = 8; place < whole.size(); ++place) {
    std::string flipped = whole;
    flipped[place] = static_cast<char>(flipped[place] ^ 1);
    std::ofstream(path_, std::ios::binary) << flipped;
    const auto found = read(path_);
    if (!found) {
      ++refused;
      continue;
    }
    // A space that fills the header up may be another character that JSON skips: the same content.
    EXPECT_EQ(found->step, 7) << place;
    EXPECT_EQ(found->tensors[1].second.mean().item<float>(), 7.0f) << place;
  }
  EXPECT_GT(refused, whole.size() - 30);
}

TEST_F(CheckpointTest, OneOfAnotherRunOrVersionIsNamed) {
  write(checkpoint_of(7));
  EXPECT_THAT(read(path_, std::string(64, 'b')).error().message, HasSubstr("of another run"));
  std::string newer = *read_file(path_);
  const std::string version = R"("bitloop_checkpoint":"1")";
  newer.replace(newer.find(version), version.size(), R"("bitloop_checkpoint":"2")");
  std::ofstream(path_, std::ios::binary) << newer;
  EXPECT_THAT(read(path_).error().message, HasSubstr("is of version 2"));
  const auto fd = open_file(path_, O_RDWR | O_TRUNC);
  ASSERT_TRUE(write_safetensors(fd->get(), {{"w", at::ones({2})}}));
  EXPECT_THAT(read(path_).error().message, HasSubstr("no checkpoint of bitloop"));
}

TEST_F(CheckpointTest, TheNewestAreKeptAndTheNewestIsFound) {
  std::vector<std::string> complaints;
  EXPECT_EQ(newest(complaints), 0);
  {
    const auto writer = files();
    for (int64_t step = 10; step <= 70; step += 10) writer->save(checkpoint_of(step), kRun);
    writer->wait();
    for (int64_t step = 10; step <= 70; step += 10) {
      const auto saved = writer->take_saved();
      ASSERT_TRUE(saved);
      EXPECT_EQ(saved->step, step);
      EXPECT_TRUE(saved->status);
    }
    EXPECT_FALSE(writer->take_saved());
  }
  std::vector<int64_t> steps;
  for (const auto& entry : fs::directory_iterator(folder_.path()))
    steps.push_back(read(entry.path())->step);
  EXPECT_THAT(steps, testing::UnorderedElementsAre(50, 60, 70));
  EXPECT_EQ(newest(complaints), 70);
  EXPECT_THAT(complaints, IsEmpty());
}

TEST_F(CheckpointTest, ATornOneIsNamedAndTheOneBeforeItIsUsedAndTheTornOneWrittenOver) {
  {
    const auto writer = files();
    for (const int64_t step : {10, 20, 30}) writer->save(checkpoint_of(step), kRun);
  }
  fs::path torn;
  for (const auto& entry : fs::directory_iterator(folder_.path()))
    if (read(entry.path())->step == 30) torn = entry.path();
  fs::resize_file(torn, fs::file_size(torn) - 1);
  std::vector<std::string> complaints;
  const auto writer = files();
  EXPECT_EQ((*writer->newest(kRun, complaints))->step, 20);
  EXPECT_THAT(complaints, ElementsAre(HasSubstr(torn.filename().string())));
  writer->save(checkpoint_of(25), kRun);
  writer->wait();
  EXPECT_EQ(read(torn)->step, 25);
}

// Of another run, or of a machine with another device: whoever goes on by mistake destroys nothing.
TEST_F(CheckpointTest, OnesOfAnotherRunAreNeitherUsedNorWrittenOver) {
  {
    const auto writer = files();
    for (const int64_t step : {10, 20}) writer->save(checkpoint_of(step), kRun);
  }
  std::vector<std::string> complaints;
  const auto found = files()->newest(std::string(64, 'b'), complaints);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, "infrastructure");
  EXPECT_THAT(found.error().message, HasSubstr("is of another run"));
  EXPECT_EQ(complaints.size(), 2U);
  EXPECT_EQ(newest(complaints), 20);
}

// With nothing else there, what is damaged is worth nothing, and training begins anew.
TEST_F(CheckpointTest, DamagedOnesAloneAreWrittenOver) {
  {
    const auto writer = files();
    writer->save(checkpoint_of(10), kRun);
  }
  for (const auto& entry : fs::directory_iterator(folder_.path()))
    if (fs::file_size(entry) > 0) fs::resize_file(entry, fs::file_size(entry) / 2);
  std::vector<std::string> complaints;
  EXPECT_EQ(newest(complaints), 0);
  EXPECT_EQ(complaints.size(), 1U);
}

TEST_F(CheckpointTest, AFullDiskLeavesTheOthersWhole) {
  const auto writer = files();
  for (const int64_t step : {10, 20, 30}) writer->save(checkpoint_of(step), kRun);
  writer->wait();
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit low = limit;
  low.rlim_cur = 100;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  writer->save(checkpoint_of(40), kRun);
  writer->wait();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  ::signal(SIGXFSZ, handler);
  std::optional<CheckpointFiles::Saved> saved;
  while (const auto next = writer->take_saved()) saved = next;
  EXPECT_EQ(saved->step, 40);
  EXPECT_FALSE(saved->status);
  std::vector<std::string> complaints;
  EXPECT_EQ(newest(complaints), 30);
  writer->save(checkpoint_of(50), kRun);  // where the failed one was
  writer->wait();
  EXPECT_EQ(newest(complaints), 50);
  EXPECT_THAT(complaints, IsEmpty());
}

TEST(RunDigest, IsOfWhatIsTrainedAndNotOfWhereItRuns) {
  Job job;
  job.candidate = "return {}";
  job.config = {{"train", {{"steps", 3}}}, {"limits", {{"threads", 2}}}};
  const std::string digest = run_digest(job);
  Job other = job;
  other.config["limits"]["threads"] = 4;
  other.config["checkpoint"] = {{"every", 5}};
  other.nonce = "x";
  other.config["train"]["device"] = "auto";  // which was the CPU
  EXPECT_EQ(run_digest(other), digest);
  other.config["train"]["steps"] = 4;
  EXPECT_NE(run_digest(other), digest);
  for (const auto& change : std::vector<std::function<void(Job&)>>{
           [](Job& j) { j.candidate += " "; }, [](Job& j) { j.train.seed = 7; },
           [](Job& j) { j.rules.quantize_head = true; }, [](Job& j) { j.train.device = "cuda"; },
           [](Job& j) {
             j.rules.allowed_config["beta1"] = {0, 1};
           }}) {
    other = job;
    change(other);
    EXPECT_NE(run_digest(other), digest);
  }
}

}  // namespace
}  // namespace bitloop::trainer
