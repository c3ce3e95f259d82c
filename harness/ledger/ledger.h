// results.tsv: a header, then a line for each finished test. Written by one process (the owner of
// the workspace's lock); a copy of what the journal holds, so it can be rebuilt at any time.
//
// A new line is one write and one fsync; a submission replaces the whole file by rename. So a
// reader, and the next open, sees whole lines only, but for a last line cut short by a crash, which
// open() removes (the caller rebuilds it from the journal). All functions may be called from any
// thread.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/ledger/row.h"

namespace bitloop::ledger {

// A row as it is kept: its line, which is a third of what its columns take in memory. It never
// changes, so copies share it.
class StoredRow {
 public:
  // Errors: those of parse_line for what render_line would make of the row.
  static Result<StoredRow> of(const Row& row);

  std::string_view line() const { return {line_.get(), size_}; }  // without a newline
  Row row() const;
  // One column as it stands in the line. Requires: a column's name.
  std::string_view field(std::string_view column) const;

 private:
  StoredRow(std::shared_ptr<const char[]> line, size_t size)
      : line_(std::move(line)), size_(size) {}

  std::shared_ptr<const char[]> line_;
  size_t size_;
};

class Ledger {
 public:
  // Opens `path` (a file with only the header is made if there is none) and repairs a cut last
  // line. Errors: "ledger_header" (not ours: nothing is touched), "ledger_malformed" (line and
  // column in the message), "io_error", "disk_full". After the first two: rebuild with
  // replace_with().
  static Result<std::unique_ptr<Ledger>> open(std::filesystem::path path);
  // Replaces whatever is at `path` by these rows, and opens it.
  static Result<std::unique_ptr<Ledger>> replace_with(std::filesystem::path path,
                                                      std::vector<Row> rows);
  // For other processes than the owner: the rows, a cut last line ignored, nothing written; no
  // file, no rows. Errors: "ledger_header", "ledger_malformed", "io_error".
  static Result<std::vector<Row>> read(const std::filesystem::path& path);

  // Adds a line; when it returns, the line is on disk. After an error the file is as before.
  // Errors: "io_error", "disk_full".
  Status append(const Row& row);
  // Marks the row of a session's test as submitted (and no other row of that session), rewriting
  // the file. Errors: "unknown_row", "io_error", "disk_full".
  Status submit(std::string_view session, int64_t test);
  // Takes away the row of a session's test, if there is one, rewriting the file. Errors:
  // "io_error", "disk_full".
  Status remove(std::string_view session, int64_t test);
  // Replaces all rows, rewriting the file only if that changes it. Errors: "io_error", "disk_full".
  Status rebuild(std::vector<Row> rows);

  std::vector<StoredRow> rows() const;  // in the order of the file
  std::string text() const;             // the file's content
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit Ledger(std::filesystem::path path) : path_(std::move(path)) {}
  // Replaces the file if that changes it. Requires: mutex_ held.
  Status rewrite(std::vector<StoredRow> rows);

  std::filesystem::path path_;
  mutable std::mutex mutex_;
  std::vector<StoredRow> rows_;
};

}  // namespace bitloop::ledger
