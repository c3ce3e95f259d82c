#include "harness/journal/journal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <fstream>
#include <map>
#include <thread>

#include "harness/base/fd.h"
#include "harness/journal/pack.h"
#include "tests/harness/journal/fixture.h"

namespace bitloop::journal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class JournalTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    journal_.reset();
    lock_ = fail("released", "");
    lock_ = WorkspaceLock::acquire(workspace_.path());
    ASSERT_TRUE(lock_) << lock_.error().message;
    auto opened = Journal::open_or_create(*lock_);
    ASSERT_TRUE(opened) << opened.error().message;
    journal_ = std::move(*opened);
  }
  std::string create(std::string_view id) {
    auto commit = journal_->create_session(id, make_event("session", "Started", "v0\n"));
    EXPECT_TRUE(commit) << commit.error().message;
    return commit.value_or("");
  }

  Workspace workspace_;
  Result<WorkspaceLock> lock_ = fail("none", "");
  std::unique_ptr<Journal> journal_;
};

TEST_F(JournalTest, KeepsEventsAcrossARestart) {
  const std::string first = create("brave-otter-1f3a");
  Event event = make_event("edit", "Replaced lines 14..26 with 9 line(s)", "v1\n");
  event.session_json = R"({"tests_left": 3})";
  event.trailers = {{"Bitloop-Region", "quantizer"}};
  const std::string second = journal_->append("brave-otter-1f3a", event).value();
  create("calm-newt-0001");
  open();
  EXPECT_THAT(journal_->sessions().value(), ElementsAre("brave-otter-1f3a", "calm-newt-0001"));
  EXPECT_EQ(journal_->head("brave-otter-1f3a").value(), second);
  const auto history = journal_->history("brave-otter-1f3a").value();
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[0].id, first);
  EXPECT_EQ(history[0].parent, "");
  EXPECT_EQ(history[0].kind, "session");
  EXPECT_EQ(history[1].id, second);
  EXPECT_EQ(history[1].parent, first);
  EXPECT_EQ(history[1].sentence, event.sentence);
  EXPECT_EQ(history[1].trailer("Bitloop-Region"), "quantizer");
  EXPECT_GT(history[1].time_s, 1'500'000'000);
  EXPECT_EQ(journal_->read(first)->candidate, "v0\n");
  EXPECT_EQ(journal_->read(second)->candidate, "v1\n");
  EXPECT_EQ(journal_->read(second)->session_json, event.session_json);
  workspace_.expect_fsck_clean();
}

TEST_F(JournalTest, PlainGitTellsTheStory) {
  create("s1");
  ASSERT_TRUE(journal_->append("s1", make_event("edit", "Replaced lines 1..2 with 3 line(s)")));
  EXPECT_EQ(workspace_.git("log --format='%an %s'").text,
            "bitloop Replaced lines 1..2 with 3 line(s)\nbitloop Started\n");
  EXPECT_EQ(workspace_.git("log --format=%s sessions/s1 --").text,
            "Replaced lines 1..2 with 3 line(s)\nStarted\n");
  EXPECT_EQ(workspace_.git("ls-tree --name-only HEAD").text, "candidate.lua\nsession.json\n");
  EXPECT_EQ(workspace_.git("show HEAD:candidate.lua").text, "return {}\n");
  EXPECT_EQ(single_line(
                workspace_.git("show -s --format='%(trailers:key=Bitloop-Event,valueonly)'").text),
            "edit");
}

TEST_F(JournalTest, AFreshJournalIsEmptyAndClean) {
  EXPECT_TRUE(journal_->sessions()->empty());
  workspace_.expect_fsck_clean();
  EXPECT_EQ(journal_->path(), workspace_.path() / "journal.git");
}

TEST_F(JournalTest, RefusesBadSessionIds) {
  for (const char* id :
       {"", "-a", "a-", "A", "a/b", "../x", "a.lock", "a b", "a\n", "\u00e4", ".", "..", "@{",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    EXPECT_EQ(journal_->create_session(id, make_event("session", "s")).error().code,
              "bad_session_id")
        << id;
    EXPECT_EQ(journal_->append(id, make_event("edit", "s")).error().code, "bad_session_id") << id;
    EXPECT_EQ(journal_->head(id).error().code, "bad_session_id") << id;
    EXPECT_EQ(journal_->history(id).error().code, "bad_session_id") << id;
  }
}

TEST_F(JournalTest, SaysWhatIsNotThere) {
  create("s1");
  create("s2");
  EXPECT_EQ(journal_->create_session("s1", make_event("session", "s")).error().code,
            "session_exists");
  EXPECT_EQ(journal_->append("s3", make_event("edit", "s")).error().code, "unknown_session");
  EXPECT_EQ(journal_->head("s3").error().code, "unknown_session");
  EXPECT_EQ(journal_->history("s3").error().code, "unknown_session");
  EXPECT_EQ(journal_->find("s3", "abcd").error().code, "unknown_session");
  for (const std::string& id :
       {std::string(40, '0'), std::string("HEAD"), std::string(), std::string(40, 'z')})
    EXPECT_EQ(journal_->read(id).error().code, "unknown_commit") << id;
  // Ids of blobs and trees are none of commits.
  const std::string blob = single_line(workspace_.git("rev-parse HEAD:candidate.lua").text);
  EXPECT_EQ(blob.size(), 40u);
  EXPECT_EQ(journal_->read(blob).error().code, "unknown_commit");
}

TEST_F(JournalTest, FindsACommitByItsFirstDigitsInItsSessionOnly) {
  const std::string first = create("s1");
  Event other = make_event("session", "Another");
  const std::string foreign = journal_->create_session("s2", other).value();
  EXPECT_EQ(journal_->find("s1", first)->id, first);
  EXPECT_EQ(journal_->find("s1", first.substr(0, 7))->id, first);
  std::string upper = first.substr(0, 12);
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(journal_->find("s1", upper)->id, first);
  EXPECT_EQ(journal_->find("s1", foreign).error().code, "unknown_commit");
  EXPECT_EQ(journal_->find("s1", first.substr(0, 3)).error().code, "unknown_commit");
  EXPECT_EQ(journal_->find("s1", "").error().code, "unknown_commit");
  // one.
}

TEST_F(JournalTest, AnAmbiguousPrefixIsRefused) {
  create("s1");
  // 65,536 prefixes: a pair among 700 commits is all but certain (1 - exp(-700^2 / 131,072) =
  // 0.976); go on until there is one.
  std::map<std::string, int> seen;
  std::string twice;
  for (int i = 0; i < 5000 && twice.empty(); ++i) {
    const std::string id = journal_->append("s1", make_event("edit", std::to_string(i))).value();
    if (++seen[id.substr(0, 4)] == 2) twice = id.substr(0, 4);
  }
  ASSERT_FALSE(twice.empty());
  EXPECT_EQ(journal_->find("s1", twice).error().code, "ambiguous_commit");
}

TEST_F(JournalTest, AnAppendToAnOldHeadIsAConflict) {
  const std::string first = create("s1");
  const std::string second = journal_->append("s1", make_event("edit", "a"), first).value();
  auto late = journal_->append("s1", make_event("edit", "b"), first);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, "journal_conflict");
  EXPECT_EQ(journal_->head("s1").value(), second);
}

TEST_F(JournalTest, ABranchThatGitHasLockedIsAConflict) {
  const std::string first = create("s1");
  const auto lock = journal_->path() / "refs/heads/sessions/s1.lock";
  std::ofstream(lock) << "";
  EXPECT_EQ(journal_->append("s1", make_event("edit", "a")).error().code, "journal_conflict");
  EXPECT_TRUE(std::filesystem::exists(lock)) << "another's lock is not ours to remove";
  std::filesystem::remove(lock);
  EXPECT_TRUE(journal_->append("s1", make_event("edit", "a")));
}

TEST_F(JournalTest, WritersOfOneSessionLoseNothing) {
  create("s1");
  std::vector<std::thread> writers;
  std::atomic<int> done = 0;
  for (int w = 0; w < 8; ++w)
    writers.emplace_back([&, w] {
      for (int i = 0; i < 20; ++i)
        if (journal_->append("s1", make_event("edit", std::to_string(w), std::to_string(i))))
          ++done;
    });
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(done, 160);
  EXPECT_EQ(journal_->history("s1")->size(), 161u);
  workspace_.expect_fsck_clean();
}

TEST_F(JournalTest, SessionsAreWrittenSideBySide) {
  std::vector<std::thread> writers;
  for (int w = 0; w < 16; ++w)
    writers.emplace_back([&, w] {
      const std::string id = fmt::format("s{}", w);
      EXPECT_TRUE(journal_->create_session(id, make_event("session", "Started")));
      std::string head = journal_->head(id).value();
      for (int i = 0; i < 10; ++i) {
        auto next = journal_->append(id, make_event("edit", "e", std::to_string(i)), head);
        ASSERT_TRUE(next) << next.error().message;
        head = *next;
        EXPECT_EQ(journal_->read(head)->candidate, std::to_string(i));
      }
    });
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(journal_->sessions()->size(), 16u);
  for (int w = 0; w < 16; ++w) EXPECT_EQ(journal_->history(fmt::format("s{}", w))->size(), 11u);
  workspace_.expect_fsck_clean();
}

TEST_F(JournalTest, TimeNeverGoesBack) {
  create("s1");
  // A commit from the future, as a clock that was wrong would have made it.
  const std::string future =
      single_line(workspace_.git("-c user.name=x -c user.email=x@x log -1 --format=%T").text);
  const auto made = workspace_.git(
      "update-ref refs/heads/sessions/s1 $(GIT_AUTHOR_DATE='4000000000 +0000' "
      "GIT_COMMITTER_DATE='4000000000 +0000' GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@x "
      "GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@x git -C '" +
      journal_->path().string() + "' commit-tree -m later " + future + ")");
  ASSERT_EQ(made.status, 0) << made.text;
  ASSERT_TRUE(journal_->append("s1", make_event("edit", "a")));
  EXPECT_EQ(journal_->history("s1")->back().time_s, 4'000'000'000);
}

TEST_F(JournalTest, LivesWithWhatGitDoesToTheRepository) {
  create("s1");
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(journal_->append("s1", make_event("edit", "a", std::to_string(i))));
  ASSERT_EQ(workspace_.git("gc --prune=now --quiet").status, 0);
  EXPECT_EQ(journal_->history("s1")->size(), 6u);
  ASSERT_TRUE(journal_->append("s1", make_event("edit", "after gc")));
  create("s2");
  open();
  ASSERT_TRUE(journal_->append("s1", make_event("edit", "after restart")));
  EXPECT_EQ(journal_->history("s1")->size(), 8u);
  workspace_.expect_fsck_clean();
}

TEST_F(JournalTest, AReaderNeedsNoLockAndCannotWrite) {
  create("s1");
  auto reader = Journal::open_read_only(workspace_.path());
  ASSERT_TRUE(reader);
  EXPECT_EQ((*reader)->history("s1")->size(), 1u);
  ASSERT_TRUE(journal_->append("s1", make_event("edit", "a")));
  EXPECT_EQ((*reader)->history("s1")->size(), 2u);
  EXPECT_EQ((*reader)->append("s1", make_event("edit", "b")).error().code, "journal_read_only");
  EXPECT_EQ((*reader)->create_session("s2", make_event("session", "b")).error().code,
            "journal_read_only");
  EXPECT_EQ(Journal::open_read_only("/nowhere").error().code, "file_not_found");
}

TEST(Journal, RefusesWhatIsNoRepositoryAndLeavesItAlone) {
  Workspace workspace;
  std::filesystem::create_directories(workspace.path() / "journal.git");
  std::ofstream(workspace.path() / "journal.git" / "x.lock") << "mine";
  auto lock = WorkspaceLock::acquire(workspace.path());
  auto journal = Journal::open_or_create(*lock);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, "journal_unreadable");
  EXPECT_TRUE(std::filesystem::exists(workspace.path() / "journal.git" / "x.lock"));
}

TEST_F(JournalTest, SaysWhenAnObjectIsDamaged) {
  const std::string id = create("s1");
  std::filesystem::remove_all(journal_->path() / "write-ahead");  // or it would be mended
  const auto object = journal_->path() / "objects" / id.substr(0, 2) / id.substr(2);
  std::filesystem::permissions(object, std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  std::ofstream(object) << "garbage";
  open();
  EXPECT_FALSE(journal_->history("s1"));
  EXPECT_FALSE(journal_->append("s1", make_event("edit", "a")));
}

TEST_F(JournalTest, TakesTextOfEverySizeAndKind) {
  create("s1");
  Event event = make_event("edit", std::string(100'000, 'x'),
                           std::string(1 << 20, '\xff') + std::string(1, '\0') + "end");
  event.body = std::string(1 << 20, 'y');
  const std::string id = journal_->append("s1", event).value();
  EXPECT_EQ(journal_->read(id)->candidate, event.candidate);
  EXPECT_EQ(journal_
                ->append("s1", Event{.kind = "edit",
                                     .sentence = "",
                                     .body = "",
                                     .trailers = {},
                                     .candidate = "",
                                     .session_json = ""})
                .has_value(),
            true);
  workspace_.expect_fsck_clean();
}

TEST_F(JournalTest, WhatWasReadOfPacksIsForgottenAndReadAgain) {
  create("s1");
  std::string last;
  for (int i = 0; i < 20; ++i)
    last = journal_->append("s1", make_event("edit", std::to_string(i))).value();
  ASSERT_TRUE(pack_loose_objects(journal_->path(), [] { return false; }));
  // libgit2 has the index of a pack mapped as long as it knows the pack.
  const auto maps_a_pack = [this] {
    return read_file("/proc/self/maps")->find((journal_->path() / "objects/pack").string()) !=
           std::string::npos;
  };
  EXPECT_EQ(journal_->history("s1")->size(), 21U);
  EXPECT_TRUE(maps_a_pack());
  journal_->forget_what_was_read();
  EXPECT_FALSE(maps_a_pack());
  EXPECT_EQ(journal_->history("s1")->back().id, last);
  EXPECT_TRUE(journal_->append("s1", make_event("edit", "after")));
}

TEST_F(JournalTest, ForgettingDisturbsNobody) {
  create("s1");
  std::atomic<bool> done = false;
  std::vector<std::jthread> readers;
  for (int t = 0; t < 4; ++t)
    readers.emplace_back([this, &done] {
      while (!done) EXPECT_TRUE(journal_->history("s1"));
    });
  {
    const std::jthread forgets([this, &done] {
      while (!done) journal_->forget_what_was_read();
    });
    for (int i = 0; i < 50; ++i)
      EXPECT_TRUE(journal_->append("s1", make_event("edit", std::to_string(i))));
    done = true;
  }
  readers.clear();
  EXPECT_EQ(journal_->history("s1")->size(), 51U);
}

}  // namespace
}  // namespace bitloop::journal
