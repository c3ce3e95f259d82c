// Packing: nothing is lost, whoever works meanwhile, and whenever the process is killed.
#include "harness/journal/pack.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <random>
#include <thread>

#include "harness/journal/packer.h"
#include "harness/journal/verify.h"
#include "tests/harness/journal/fixture.h"
#include "tests/support/kill.h"

namespace bitloop::journal {
namespace {

using namespace std::chrono_literals;

class PackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto lock = WorkspaceLock::acquire(workspace_.path());
    ASSERT_TRUE(lock);
    lock_ = std::make_unique<WorkspaceLock>(std::move(*lock));
    open();
    ASSERT_TRUE(journal_->create_session("s", make_event("session", "Started")));
  }
  void open() {
    journal_.reset();
    auto journal = Journal::open_or_create(*lock_);
    ASSERT_TRUE(journal) << journal.error().message;
    journal_ = std::move(*journal);
  }
  void append(int count) {
    for (int i = 0; i < count; ++i)
      ASSERT_TRUE(journal_->append("s", make_event("edit", "e", "-- " + std::to_string(next_++))));
  }
  std::filesystem::path packs() const { return repository() / "objects" / "pack"; }
  std::filesystem::path repository() const { return workspace_.path() / "journal.git"; }
  static bool never() { return false; }

  Workspace workspace_;
  std::unique_ptr<WorkspaceLock> lock_;
  std::unique_ptr<Journal> journal_;
  int next_ = 0;
};

TEST_F(PackTest, WhatWasLooseIsInAPackAndReadAsBefore) {
  append(20);
  const auto history = journal_->history("s");
  const size_t loose = count_loose_objects(repository());
  const auto packed = pack_loose_objects(repository(), never);
  ASSERT_TRUE(packed) << packed.error().message;
  EXPECT_EQ(*packed, loose);
  EXPECT_EQ(count_loose_objects(repository()), 0u);
  EXPECT_FALSE(std::filesystem::exists(repository() / kNewPackFolder));
  EXPECT_EQ(journal_->history("s")->size(), history->size());
  EXPECT_EQ(journal_->read(history->back().id)->candidate, "-- 19");
  append(1);  // the journal that was open goes on
  workspace_.expect_fsck_clean();
  open();
  EXPECT_EQ(journal_->history("s")->size(), history->size() + 1);
}

TEST_F(PackTest, NothingLooseIsNoPack) {
  append(1);
  ASSERT_TRUE(pack_loose_objects(repository(), never));
  EXPECT_EQ(pack_loose_objects(repository(), never).value(), 0u);
}

TEST_F(PackTest, ContentThatIsPackedCanBeWrittenAgain) {
  ASSERT_TRUE(journal_->append("s", make_event("edit", "e", "-- the same")));
  ASSERT_TRUE(pack_loose_objects(repository(), never));
  ASSERT_TRUE(journal_->append("s", make_event("undo", "e", "-- other")));
  const auto again = journal_->append("s", make_event("edit", "e", "-- the same"));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(journal_->read(*again)->candidate, "-- the same");
  workspace_.expect_fsck_clean();
}

TEST_F(PackTest, OneThatIsStoppedChangesNothing) {
  append(5);
  const size_t loose = count_loose_objects(repository());
  int asked = 0;
  const auto packed = pack_loose_objects(repository(), [&] { return ++asked > 3; });
  ASSERT_TRUE(packed) << packed.error().message;
  EXPECT_EQ(*packed, 0u);
  EXPECT_EQ(count_loose_objects(repository()), loose);
  EXPECT_FALSE(std::filesystem::exists(repository() / kNewPackFolder));
}

TEST_F(PackTest, ADamagedObjectIsLeftAndTheOthersArePacked) {
  append(5);
  const std::string damaged = "aa" + std::string(38, 'b');
  std::filesystem::create_directories(repository() / "objects" / "aa");
  std::ofstream(repository() / "objects" / "aa" / damaged.substr(2)) << "no object";
  const auto packed = pack_loose_objects(repository(), never);
  ASSERT_TRUE(packed) << packed.error().message;
  EXPECT_GT(*packed, 5u);
  EXPECT_EQ(count_loose_objects(repository()), 1u);
}

TEST_F(PackTest, WhatAKilledPackerLeftIsRemovedByTheNextStart) {
  append(1);
  journal_.reset();
  std::filesystem::create_directories(repository() / kNewPackFolder);
  std::ofstream(repository() / kNewPackFolder / "pack-x.pack") << "half";
  std::ofstream(packs() / "pack-y.pack") << "its index did not follow";
  open();
  EXPECT_FALSE(std::filesystem::exists(repository() / kNewPackFolder));
  EXPECT_FALSE(std::filesystem::exists(packs() / "pack-y.pack"));
  workspace_.expect_fsck_clean();
}

TEST_F(PackTest, AppendsAndReadsGoOnWhileItPacks) {
  std::atomic<bool> done{false};
  std::thread packing([&] {
    while (!done)
      if (const auto packed = pack_loose_objects(repository(), never); !packed) {
        ADD_FAILURE() << packed.error().message;
        return;
      }
  });
  std::vector<std::string> ids;
  for (int i = 0; i < 150; ++i) {
    // Few contents, so that many are in a pack or about to be when they are written again.
    const auto id = journal_->append("s", make_event("edit", "e", "-- " + std::to_string(i % 3)));
    ASSERT_TRUE(id) << id.error().message;
    ids.push_back(*id);
    ASSERT_TRUE(journal_->read(ids[static_cast<size_t>(i) / 2]));
  }
  done = true;
  packing.join();
  EXPECT_EQ(journal_->history("s")->size(), ids.size() + 1);
  workspace_.expect_fsck_clean();
}

TEST_F(PackTest, ThePackerPacksWhatIsMany) {
  std::atomic<int> reported{0};
  append(10);
  {
    Packer packer(repository(), {.after = 20, .pause = 5ms, .report = [&](std::string_view, bool) {
                                   ++reported;
                                 }});
    while (count_loose_objects(repository()) >= 20) std::this_thread::sleep_for(2ms);
    append(10);
    while (count_loose_objects(repository()) >= 20) std::this_thread::sleep_for(2ms);
  }
  EXPECT_GE(reported, 2);
  workspace_.expect_fsck_clean();
}

// The child: appends and packs without end, and writes each id into the pipe once it has been
// returned.
[[noreturn]] void append_and_pack_forever(const std::filesystem::path& workspace, int answers) {
  auto lock = WorkspaceLock::acquire(workspace);
  auto journal = lock ? Journal::open_or_create(*lock) : std::unexpected(lock.error());
  if (!journal) ::_exit(11);
  if (!(*journal)->head("s") && !(*journal)->create_session("s", make_event("session", "Started")))
    ::_exit(12);
  std::thread packing([&] {
    while (pack_loose_objects((*journal)->path(), [] { return false; })) {
    }
    ::_exit(13);
  });
  for (int i = 0;; ++i) {
    const auto id = (*journal)->append("s", make_event("edit", "e", "-- " + std::to_string(i % 7)));
    if (!id || !write_all(answers, *id + "\n")) ::_exit(14);
  }
}

TEST(PackCrash, KilledAtAnyMomentNothingIsLost) {
  Workspace workspace;
  std::mt19937 random(11);
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 30; ++round) {
    for (const std::string& id : test_support::kill_while(
             random, [&](int answers) { append_and_pack_forever(workspace.path(), answers); }))
      acknowledged.push_back(id);
    if (round % 10 == 9) workspace.expect_fsck_clean();  // as the kill left it
  }
  auto lock = WorkspaceLock::acquire(workspace.path());
  ASSERT_TRUE(lock);
  auto journal = Journal::open_or_create(*lock);
  ASSERT_TRUE(journal) << journal.error().message;
  const auto events = (*journal)->history("s");
  ASSERT_TRUE(events) << events.error().message;
  std::vector<std::string> history;
  for (const Commit& commit : *events) history.push_back(commit.id);
  EXPECT_THAT(history, ::testing::IsSupersetOf(acknowledged));
  workspace.expect_fsck_clean();
}

}  // namespace
}  // namespace bitloop::journal
