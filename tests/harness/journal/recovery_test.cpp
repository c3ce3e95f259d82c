// A power failure: of what was not flushed the disk has anything or nothing. Played on a copy of
// the journal, in which all but the log is damaged.
#include "harness/journal/recovery.h"

#include <gmock/gmock.h>

#include <fstream>
#include <random>

#include "harness/journal/log_record.h"
#include "harness/journal/pack.h"
#include "harness/journal/verify.h"
#include "harness/journal/write_ahead_log.h"
#include "tests/harness/journal/fixture.h"

namespace bitloop::journal {
namespace {

using ::testing::IsEmpty;
namespace fs = std::filesystem;

class RecoveryTest : public ::testing::Test {
 protected:
  RecoveryTest() {
    open(workspace_);
    for (const char* session : {"one", "two"}) {
      std::vector<std::string>& ids = ids_[session];
      ids.push_back(*journal_->create_session(session, make_event("session", "Began")));
      for (int i = 0; i < 5; ++i)
        ids.push_back(*journal_->append(
            session, make_event("edit", "e", std::string(session) + std::to_string(i))));
    }
  }

  void open(const Workspace& workspace) {
    journal_.reset();
    lock_.reset();
    lock_ = std::make_unique<Result<WorkspaceLock>>(WorkspaceLock::acquire(workspace.path()));
    ASSERT_TRUE(*lock_);
    auto opened = Journal::open_or_create(**lock_);
    ASSERT_TRUE(opened) << opened.error().message;
    journal_ = std::move(*opened);
  }
  static std::vector<fs::path> unflushed(const Workspace& workspace) {
    const fs::path repository = workspace.path() / "journal.git";
    std::vector<fs::path> files;
    for (const char* folder : {"objects", "refs"})
      for (const auto& entry : fs::recursive_directory_iterator(repository / folder))
        if (entry.is_regular_file()) files.push_back(entry.path());
    return files;
  }
  void expect_whole(const Workspace& workspace) {
    open(workspace);
    for (const auto& [session, ids] : ids_) {
      std::vector<std::string> found;
      const std::vector<Commit> history = journal_->history(session).value();
      for (const Commit& commit : history) found.push_back(commit.id);
      EXPECT_EQ(found, ids);
      EXPECT_EQ(journal_->read(ids.back())->candidate, session + "4");
    }
    const auto health = verify(workspace.path());
    ASSERT_TRUE(health);
    EXPECT_THAT(health->problems, IsEmpty());
    EXPECT_THAT(health->leftovers, IsEmpty());
    workspace.expect_fsck_clean();
  }

  Workspace workspace_;
  std::unique_ptr<Result<WorkspaceLock>> lock_;
  std::unique_ptr<Journal> journal_;
  std::map<std::string, std::vector<std::string>> ids_;
};

TEST_F(RecoveryTest, WhatIsWholeIsLeftAlone) {
  EXPECT_EQ(recover(workspace_.path() / "journal.git").value(), 0U);
  expect_whole(workspace_);
}

TEST_F(RecoveryTest, APowerFailureTakesNothing) {
  std::mt19937 random(5);
  for (int round = 0; round < 20; ++round) {
    Workspace copy;
    fs::copy(workspace_.path() / "journal.git", copy.path() / "journal.git",
             fs::copy_options::recursive);
    size_t damaged = 0;
    for (const fs::path& file : unflushed(copy)) {
      const auto size = fs::file_size(file);
      fs::permissions(file, fs::perms::owner_write, fs::perm_options::add);
      const unsigned fate = random() % 5;
      if (fate == 0) fs::remove(file);
      if (fate == 1) fs::resize_file(file, 0);
      if (fate == 2) fs::resize_file(file, size / 2);
      if (fate == 3) std::ofstream(file, std::ios::binary) << std::string(size, '\0');
      if (fate < 4) ++damaged;
    }
    EXPECT_EQ(recover(copy.path() / "journal.git").value(), damaged);
    expect_whole(copy);
  }
}

TEST_F(RecoveryTest, ABranchThatWentOnIsNotTakenBack) {
  const std::string later = *journal_->append("one", make_event("edit", "e", "one4"));
  const fs::path log = workspace_.path() / "journal.git" / kLogFolder;
  // The log of an earlier time, as if dropping it had not reached the disk.
  const std::vector<std::string> records = *WriteAheadLog::read(log);
  journal_.reset();
  fs::remove_all(log);
  {
    const auto earlier = *WriteAheadLog::open(log);
    for (size_t i = 0; i + 1 < records.size(); ++i) ASSERT_TRUE(earlier->append(records[i]));
  }
  ids_["one"].push_back(later);
  expect_whole(workspace_);
}

TEST_F(RecoveryTest, WhatFailedIsNotBroughtBack) {
  // Where the branch's file would be renamed to something stands that it can't replace.
  const fs::path branch =
      workspace_.path() / "journal.git" / "refs" / "heads" / "sessions" / "three";
  fs::create_directory(branch);
  std::ofstream(branch / "in-the-way");
  EXPECT_EQ(journal_->create_session("three", make_event("session", "Began")).error().code,
            "io_error");
  fs::remove_all(branch);
  expect_whole(workspace_);
  EXPECT_EQ(journal_->head("three").error().code, "unknown_session");
  ASSERT_TRUE(journal_->create_session("three", make_event("session", "Began")));
  open(workspace_);
  EXPECT_TRUE(journal_->head("three"));
}

TEST_F(RecoveryTest, WhatADiskThatFailedMayNotHaveIsWrittenAgain) {
  const fs::path repository = workspace_.path() / "journal.git";
  std::ofstream(repository / kLogFolder / "not-synced");
  journal_.reset();
  EXPECT_EQ(recover(repository).value(), unflushed(workspace_).size());
  EXPECT_EQ(recover(repository).value(), 0U);
  expect_whole(workspace_);
}

TEST_F(RecoveryTest, PackedObjectsAreNotWrittenAgain) {
  ASSERT_GT(*pack_loose_objects(workspace_.path() / "journal.git", [] { return false; }), 10U);
  EXPECT_EQ(recover(workspace_.path() / "journal.git").value(), 0U);
  expect_whole(workspace_);
}

TEST_F(RecoveryTest, ALogOfAnotherVersionIsNotPassedOver) {
  journal_.reset();
  std::ofstream(workspace_.path() / "journal.git" / kLogFolder / "99999999.log")
      << "bitloop write-ahead log 7\n";
  const auto opened = Journal::open_or_create(**lock_);
  EXPECT_EQ(opened.error().code, "journal_unreadable");
}

}  // namespace
}  // namespace bitloop::journal
