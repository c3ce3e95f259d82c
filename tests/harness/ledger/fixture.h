// Rows and a folder of its own for each test of the ledger.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/ledger/ledger.h"
#include "tests/support/scratch_folder.h"

namespace bitloop::ledger {

class Folder {
 public:
  std::filesystem::path file() const { return folder_ / "results.tsv"; }
  int files() const {
    const std::filesystem::directory_iterator entries(folder_.path());
    return static_cast<int>(std::distance(begin(entries), end(entries)));
  }
  std::string content() const { return read_file(file()).value_or("(no file)"); }

 private:
  test_support::ScratchFolder folder_;
};

inline Row make_row(std::string session, int64_t test) {
  Row row;
  row.time = "2026-01-31T12:34:56.789Z";
  row.session = std::move(session);
  row.test = test;
  row.commit = "1a2b3c";
  row.type = "agent";
  row.task = "quick";
  row.quantizer = "ternary";
  row.status = "ok";
  row.flags = {"leaks", "degraded"};
  row.val_loss = 2.3178;
  row.bits_per_weight = 1.6;
  row.params = 842'496;
  row.seed = 42;
  row.q_zero = 0.1 + 0.2;
  row.description = "median scale";
  return row;
}

inline std::vector<Row> rows_of(const Ledger& ledger) {
  std::vector<Row> rows;
  for (const StoredRow& row : ledger.rows()) rows.push_back(row.row());
  return rows;
}

}  // namespace bitloop::ledger
