// kill -9 at any moment: no acknowledged row is lost, and after an open there is never half a line.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <random>
#include <set>

#include "tests/harness/ledger/fixture.h"
#include "tests/support/kill.h"

namespace bitloop::ledger {
namespace {

constexpr int kKills = 50;

// The child: appends rows (every tenth is submitted too, which rewrites the file) until it is
// killed.
[[noreturn]] void append_forever(const std::filesystem::path& path, int acknowledged, int round) {
  auto ledger = Ledger::open(path);
  if (!ledger) ::_exit(10);
  const std::string session = fmt::format("s{}", round);
  for (int i = 1;; ++i) {
    if (!(*ledger)->append(make_row(session, i))) ::_exit(11);
    if (i % 10 == 0 && !(*ledger)->submit(session, i)) ::_exit(12);
    if (!write_all(acknowledged, session + " " + std::to_string(i) + "\n")) ::_exit(13);
  }
}

TEST(LedgerCrash, NothingAcknowledgedIsLost) {
  Folder folder;
  std::mt19937 random(11);
  std::set<std::string> acknowledged;
  for (int round = 0; round < kKills; ++round) {
    for (const std::string& line : test_support::kill_while(
             random, [&](int answers) { append_forever(folder.file(), answers, round); }))
      acknowledged.insert(line);

    auto ledger = Ledger::open(folder.file());
    ASSERT_TRUE(ledger) << ledger.error().message;
    ASSERT_EQ(folder.content(), (*ledger)->text());
    ASSERT_TRUE(folder.content().ends_with("\n"));
    ASSERT_EQ(folder.files(), 1) << "a half-written file was left";
    std::set<std::string> found;
    const std::vector<Row> rows = rows_of(**ledger);
    for (const Row& row : rows)
      found.insert(row.session + " " + std::to_string(row.test.value_or(0)));
    ASSERT_EQ(found.size(), rows.size());
    for (const std::string& line : acknowledged)
      ASSERT_TRUE(found.contains(line)) << "lost " << line;
  }
  EXPECT_GT(acknowledged.size(), 100u);
}

}  // namespace
}  // namespace bitloop::ledger
