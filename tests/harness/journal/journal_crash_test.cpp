// kill -9 at any moment: what was acknowledged is there, and git finds nothing wrong.
#include <gmock/gmock.h>
#include <unistd.h>

#include <random>
#include <set>
#include <thread>

#include "tests/harness/journal/fixture.h"
#include "tests/support/kill.h"

namespace bitloop::journal {
namespace {

constexpr int kKills = 50;
constexpr int kSessions = 3;

// The child: opens the journal, goes on with every session in a thread of its own, and writes each
// id into the pipe once it has been returned. Ends only by being killed.
[[noreturn]] void append_forever(const std::filesystem::path& workspace, int acknowledged,
                                 int round) {
  auto lock = WorkspaceLock::acquire(workspace);
  if (!lock) ::_exit(10);
  auto journal = Journal::open_or_create(*lock);
  if (!journal) ::_exit(11);
  std::vector<std::thread> writers;
  for (int s = 0; s < kSessions; ++s)
    writers.emplace_back([&, s] {
      // A round also starts a session, so that kills hit that too.
      const std::string fresh = "s" + std::to_string(s) + "-" + std::to_string(round);
      const std::string old = "s" + std::to_string(s);
      const auto made = (*journal)->head(old)
                            ? (*journal)->create_session(fresh, make_event("session", "Started"))
                            : (*journal)->create_session(old, make_event("session", "Started"));
      if (!made || !write_all(acknowledged, *made + "\n")) ::_exit(12);
      for (int i = 0;; ++i) {
        const auto id = (*journal)->append(
            old, make_event("edit", "e", std::to_string(round) + "." + std::to_string(i)));
        if (!id || !write_all(acknowledged, *id + "\n")) ::_exit(13);
      }
    });
  for (auto& writer : writers) writer.join();
  ::_exit(14);
}

TEST(JournalCrash, NothingAcknowledgedIsLost) {
  Workspace workspace;
  std::mt19937 random(7);
  std::set<std::string> acknowledged;
  for (int round = 0; round < kKills; ++round) {
    for (const std::string& id : test_support::kill_while(
             random, [&](int answers) { append_forever(workspace.path(), answers, round); }))
      acknowledged.insert(id);

    if (round % 10 == 9 && std::filesystem::exists(workspace.path() / "journal.git"))
      workspace.expect_fsck_clean();  // as the kill left it
    auto lock = WorkspaceLock::acquire(workspace.path());
    ASSERT_TRUE(lock) << lock.error().message;
    auto journal = Journal::open_or_create(*lock);
    ASSERT_TRUE(journal) << journal.error().message;
    std::set<std::string> found;
    const std::vector<std::string> sessions = (*journal)->sessions().value();
    for (const std::string& session : sessions) {
      const std::vector<Commit> history = (*journal)->history(session).value();
      for (const Commit& commit : history) found.insert(commit.id);
    }
    for (const std::string& id : acknowledged) ASSERT_TRUE(found.contains(id)) << "lost " << id;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(workspace.path() / "journal.git"))
      ASSERT_NE(entry.path().extension(), ".lock") << entry.path();
  }
  workspace.expect_fsck_clean();
  EXPECT_GT(acknowledged.size(), 100u);
}

}  // namespace
}  // namespace bitloop::journal
