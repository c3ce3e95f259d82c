#include "harness/ledger/ledger.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <thread>

#include "tests/harness/ledger/fixture.h"

namespace bitloop::ledger {
namespace {

using testing::HasSubstr;

std::string file_of(const std::vector<Row>& rows) {
  std::string text = header_line() + "\n";
  for (const Row& row : rows) text += render_line(row) + "\n";
  return text;
}

TEST(Ledger, BeginsWithItsHeader) {
  Folder folder;
  auto ledger = Ledger::open(folder.file());
  ASSERT_TRUE(ledger) << ledger.error().message;
  EXPECT_EQ(folder.content(), header_line() + "\n");
  EXPECT_TRUE((*ledger)->rows().empty());
}

TEST(Ledger, KeepsRowsAcrossARestart) {
  Folder folder;
  const std::vector<Row> rows = {make_row("a", 1), make_row("b", 1), make_row("a", 2)};
  {
    auto ledger = Ledger::open(folder.file());
    for (const Row& row : rows) ASSERT_TRUE((*ledger)->append(row));
    EXPECT_EQ(rows_of(**ledger), rows);
    EXPECT_EQ((*ledger)->text(), folder.content());
  }
  EXPECT_EQ(folder.content(), file_of(rows));
  auto again = Ledger::open(folder.file());
  EXPECT_EQ(rows_of(**again), rows);
  EXPECT_EQ(Ledger::read(folder.file()).value(), rows);
}

TEST(Ledger, MemoryHoldsWhatTheFileSays) {
  Folder folder;
  auto ledger = Ledger::open(folder.file());
  Row row = make_row("a", 1);
  row.description = "two\nlines";
  ASSERT_TRUE((*ledger)->append(row));
  EXPECT_EQ((*ledger)->rows()[0].row().description, "two lines");
}

TEST(Ledger, SubmissionMarksOneTestOfItsSession) {
  Folder folder;
  auto ledger = Ledger::open(folder.file());
  for (const Row& row : {make_row("a", 1), make_row("b", 1), make_row("a", 2)})
    ASSERT_TRUE((*ledger)->append(row));
  ASSERT_TRUE((*ledger)->submit("b", 1));
  ASSERT_TRUE((*ledger)->submit("a", 1));
  ASSERT_TRUE((*ledger)->submit("a", 2));
  const std::vector<Row> rows = Ledger::read(folder.file()).value();
  EXPECT_FALSE(rows[0].submitted);
  EXPECT_TRUE(rows[1].submitted);
  EXPECT_TRUE(rows[2].submitted);
  EXPECT_EQ(rows, rows_of(**ledger));
  ASSERT_TRUE((*ledger)->append(make_row("c", 1)));  // onto the new file, not the old one
  EXPECT_EQ(Ledger::read(folder.file())->size(), 4u);
  EXPECT_EQ((*ledger)->submit("a", 3).error().code, "unknown_row");
  EXPECT_EQ((*ledger)->submit("z", 1).error().code, "unknown_row");
  EXPECT_EQ(Ledger::read(folder.file()).value(), rows_of(**ledger));
}

TEST(Ledger, ARowIsTakenAway) {
  Folder folder;
  auto ledger = Ledger::open(folder.file());
  for (const Row& row : {make_row("a", 1), make_row("b", 1), make_row("a", 11)})
    ASSERT_TRUE((*ledger)->append(row));
  ASSERT_TRUE((*ledger)->remove("a", 1));
  ASSERT_TRUE((*ledger)->remove("a", 2));  // there is none
  const std::vector<Row> rows = Ledger::read(folder.file()).value();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].session, "b");
  EXPECT_EQ(rows[1].test, 11);
  EXPECT_EQ(rows, rows_of(**ledger));
}

TEST(Ledger, RebuildsFromTheJournalsRows) {
  Folder folder;
  auto ledger = Ledger::open(folder.file());
  ASSERT_TRUE((*ledger)->append(make_row("a", 1)));
  const std::vector<Row> rows = {make_row("x", 1), make_row("y", 1)};
  ASSERT_TRUE((*ledger)->rebuild(rows));
  EXPECT_EQ(folder.content(), file_of(rows));
  EXPECT_EQ(rows_of(**ledger), rows);
  const auto written = std::filesystem::last_write_time(folder.file());
  ASSERT_TRUE((*ledger)->rebuild(rows));
  EXPECT_EQ(std::filesystem::last_write_time(folder.file()), written)
      << "nothing had to be written";
}

TEST(Ledger, RepairsALastLineCutAnywhere) {
  Folder folder;
  const std::string whole = file_of({make_row("a", 1)});
  const std::string next = render_line(make_row("a", 2));
  for (size_t cut = 0; cut <= next.size(); ++cut) {
    std::ofstream(folder.file(), std::ios::trunc) << whole << next.substr(0, cut);
    EXPECT_EQ(Ledger::read(folder.file())->size(), 1u);
    auto ledger = Ledger::open(folder.file());
    ASSERT_TRUE(ledger) << ledger.error().message;
    EXPECT_EQ((*ledger)->rows().size(), 1u);
    ASSERT_EQ(folder.content(), whole);
    ASSERT_TRUE((*ledger)->append(make_row("a", 3)));
    ASSERT_EQ(folder.content(), file_of({make_row("a", 1), make_row("a", 3)}));
  }
}

TEST(Ledger, RepairsACutHeader) {
  Folder folder;
  const std::string header = header_line() + "\n";
  for (size_t cut = 0; cut < header.size(); cut += 7) {
    std::ofstream(folder.file(), std::ios::trunc) << header.substr(0, cut);
    ASSERT_TRUE(Ledger::open(folder.file()));
    ASSERT_EQ(folder.content(), header);
  }
}

TEST(Ledger, RefusesAForeignHeaderAndLeavesItAlone) {
  Folder folder;
  for (const std::string& text : {std::string("name\tscore\n"), fmt::format("x{}\n", header_line()),
                                  header_line() + "\textra\n", std::string("\n"),
                                  header_line().substr(5) + "\n", header_line() + "\r\n"}) {
    std::ofstream(folder.file(), std::ios::trunc | std::ios::binary) << text;
    auto ledger = Ledger::open(folder.file());
    ASSERT_FALSE(ledger) << text;
    EXPECT_EQ(ledger.error().code, "ledger_header");
    EXPECT_THAT(ledger.error().message, HasSubstr("results.tsv"));
    EXPECT_EQ(Ledger::read(folder.file()).error().code, "ledger_header");
    EXPECT_EQ(folder.content(), text);
  }
}

TEST(Ledger, NamesTheLineThatIsMalformed) {
  Folder folder;
  const std::string text =
      file_of({make_row("a", 1)}) + "half a row\n" + render_line(make_row("a", 2)) + "\n";
  std::ofstream(folder.file()) << text;
  auto ledger = Ledger::open(folder.file());
  ASSERT_FALSE(ledger);
  EXPECT_EQ(ledger.error().code, "ledger_malformed");
  EXPECT_THAT(ledger.error().message, HasSubstr("results.tsv:3: "));
  EXPECT_EQ(folder.content(), text);
  auto replaced = Ledger::replace_with(folder.file(), {make_row("a", 1)});
  ASSERT_TRUE(replaced);
  EXPECT_EQ(folder.content(), file_of({make_row("a", 1)}));
}

TEST(Ledger, AppendsFromManyThreadsAsWholeLines) {
  Folder folder;
  auto ledger = Ledger::open(folder.file());
  std::vector<std::thread> writers;
  for (int w = 0; w < 8; ++w)
    writers.emplace_back([&, w] {
      for (int i = 1; i <= 20; ++i)
        EXPECT_TRUE((*ledger)->append(make_row(fmt::format("s{}", w), i)));
    });
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(Ledger::read(folder.file())->size(), 160u);
}

TEST(Ledger, AFileThatCannotGrowStaysWhole) {
  Folder folder;
  auto ledger = Ledger::open(folder.file());
  ASSERT_TRUE((*ledger)->append(make_row("a", 1)));
  const std::string before = folder.content();
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit tight{before.size() + 20,
                     old.rlim_max};  // room for a piece of the line: a short write
  auto* handler = ::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const Status appended = (*ledger)->append(make_row("a", 2));
  const Status submitted =
      (*ledger)->rebuild({make_row("a", 1), make_row("a", 2), make_row("a", 3)});
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, handler);
  ASSERT_FALSE(appended);
  EXPECT_EQ(appended.error().code, "disk_full");
  EXPECT_FALSE(submitted);
  EXPECT_EQ(folder.content(), before);
  EXPECT_EQ((*ledger)->rows().size(), 1u);
  EXPECT_TRUE((*ledger)->append(make_row("a", 2)));
}

TEST(Ledger, SaysWhenTheFolderIsMissing) {
  auto ledger = Ledger::open("/nowhere/at/all/results.tsv");
  ASSERT_FALSE(ledger);
  EXPECT_THAT(ledger.error().message, HasSubstr("/nowhere/at/all"));
  EXPECT_TRUE(Ledger::read("/nowhere/at/all/results.tsv")->empty());
}

}  // namespace
}  // namespace bitloop::ledger
