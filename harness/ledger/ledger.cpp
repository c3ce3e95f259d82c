#include "harness/ledger/ledger.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::ledger {
namespace {

struct Content {
  std::vector<Row> rows;
  size_t whole_bytes = 0;  // up to the end of the last whole line
  size_t bytes = 0;
};

std::string render(const std::vector<StoredRow>& rows) {
  std::string text = header_line() + "\n";
  for (const StoredRow& row : rows) {
    text += row.line();
    text += '\n';
  }
  return text;
}

Result<std::vector<StoredRow>> stored(const std::vector<Row>& rows) {
  std::vector<StoredRow> list;
  list.reserve(rows.size());
  for (const Row& row : rows) {
    BITLOOP_ASSIGN(line, StoredRow::of(row));
    list.push_back(std::move(line));
  }
  return list;
}

Result<Content> parse(std::string_view text, const std::filesystem::path& path) {
  const std::string header = header_line() + "\n";
  Content content{.rows = {}, .whole_bytes = 0, .bytes = text.size()};
  if (header.starts_with(text) && text.size() < header.size()) return content;  // cut in the header
  if (!text.starts_with(header))
    return fail(
        "ledger_header",
        fmt::format("{} does not begin with the ledger's columns; it was written by another "
                    "program or version: move it away, and it is rebuilt from the journal",
                    path.string()));
  content.whole_bytes = text.rfind('\n') + 1;
  const std::string_view body = text.substr(header.size(), content.whole_bytes - header.size());
  size_t number = 1;
  for (const std::string& line : split_lines(body)) {
    ++number;
    auto row = parse_line(line);
    if (!row)
      return fail("ledger_malformed",
                  fmt::format("{}:{}: {}; move the file away, and it is rebuilt from the journal",
                              path.string(), number, row.error().message));
    content.rows.push_back(std::move(*row));
  }
  return content;
}

// One write and one fsync; when either fails, the file is cut back to what it was.
Status append_line(const std::filesystem::path& path, std::string_view line) {
  BITLOOP_ASSIGN(fd, open_file(path, O_WRONLY | O_APPEND));
  struct stat before {};
  if (::fstat(fd.get(), &before) != 0) return std::unexpected(errno_error(path.string(), errno));
  ssize_t written = 0;
  do {
    written = ::write(fd.get(), line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  const bool whole = written == static_cast<ssize_t>(line.size());
  if (whole && ::fsync(fd.get()) == 0) return {};
  // A short write is what a full disk looks like.
  const int reason = written >= 0 && !whole ? ENOSPC : errno;
  if (::ftruncate(fd.get(), before.st_size) == 0) ::fsync(fd.get());
  return std::unexpected(errno_error(path.string(), reason));
}

// What a process left that was killed while it rewrote the file.
void remove_leftovers(const std::filesystem::path& path) {
  const std::string prefix = path.filename().string() + ".tmp-";
  std::error_code ignored;
  std::vector<std::filesystem::path> stale;
  for (std::filesystem::directory_iterator entry(path.parent_path(), ignored), end;
       !ignored && entry != end; entry.increment(ignored))
    if (entry->path().filename().string().starts_with(prefix)) stale.push_back(entry->path());
  for (const std::filesystem::path& file : stale) std::filesystem::remove(file, ignored);
}

}  // namespace

// What is kept in memory is what the file says, so that a restart changes nothing.
Result<StoredRow> StoredRow::of(const Row& row) {
  const std::string given = render_line(row);
  BITLOOP_ASSIGN(same, parse_line(given));
  const std::string line = render_line(same);
  auto kept = std::make_shared<char[]>(line.size());
  line.copy(kept.get(), line.size());
  return StoredRow(std::move(kept), line.size());
}

Row StoredRow::row() const { return parse_line(line()).value(); }

std::string_view StoredRow::field(std::string_view column) const {
  return field_of_line(line(), *find_column(column));
}

Result<std::unique_ptr<Ledger>> Ledger::open(std::filesystem::path path) {
  remove_leftovers(path);
  auto text = read_file(path);
  if (!text && text.error().code == "file_not_found") return replace_with(std::move(path), {});
  if (!text) return std::unexpected(text.error());
  BITLOOP_ASSIGN(content, parse(*text, path));
  if (content.whole_bytes == 0) return replace_with(std::move(path), {});
  if (content.whole_bytes < content.bytes) {
    BITLOOP_ASSIGN(fd, open_file(path, O_WRONLY));
    if (::ftruncate(fd.get(), static_cast<off_t>(content.whole_bytes)) != 0 ||
        ::fsync(fd.get()) != 0)
      return std::unexpected(errno_error(path.string(), errno));
  }
  std::unique_ptr<Ledger> ledger(new Ledger(std::move(path)));
  BITLOOP_ASSIGN(rows, stored(content.rows));
  ledger->rows_ = std::move(rows);
  return ledger;
}

Result<std::unique_ptr<Ledger>> Ledger::replace_with(std::filesystem::path path,
                                                     std::vector<Row> rows) {
  std::unique_ptr<Ledger> ledger(new Ledger(std::move(path)));
  BITLOOP_TRY(ledger->rebuild(std::move(rows)));
  return ledger;
}

Result<std::vector<Row>> Ledger::read(const std::filesystem::path& path) {
  auto text = read_file(path);
  if (!text && text.error().code == "file_not_found") return std::vector<Row>();
  if (!text) return std::unexpected(text.error());
  BITLOOP_ASSIGN(content, parse(*text, path));
  return std::move(content.rows);
}

Status Ledger::append(const Row& row) {
  BITLOOP_ASSIGN(stored, StoredRow::of(row));
  const std::lock_guard lock(mutex_);
  BITLOOP_TRY(append_line(path_, std::string(stored.line()) + "\n"));
  rows_.push_back(std::move(stored));
  return {};
}

Status Ledger::submit(std::string_view session, int64_t test) {
  const std::lock_guard lock(mutex_);
  std::vector<StoredRow> rows = rows_;
  bool found = false;
  for (StoredRow& stored : rows) {
    if (stored.field("session") != session) continue;
    Row row = stored.row();
    row.submitted = row.test == test;
    found = found || row.submitted;
    BITLOOP_ASSIGN(changed, StoredRow::of(row));
    stored = std::move(changed);
  }
  if (!found)
    return fail("unknown_row",
                fmt::format("the ledger has no test {} of session {}", test, session));
  return rewrite(std::move(rows));
}

Status Ledger::remove(std::string_view session, int64_t test) {
  const std::lock_guard lock(mutex_);
  std::vector<StoredRow> rows = rows_;
  const std::string number = std::to_string(test);
  std::erase_if(rows, [&](const StoredRow& row) {
    return row.field("session") == session && row.field("test") == number;
  });
  return rewrite(std::move(rows));
}

Status Ledger::rebuild(std::vector<Row> rows) {
  BITLOOP_ASSIGN(lines, stored(rows));
  const std::lock_guard lock(mutex_);
  return rewrite(std::move(lines));
}

Status Ledger::rewrite(std::vector<StoredRow> rows) {
  const std::string wanted = render(rows);
  const auto present = read_file(path_);
  if (!present || *present != wanted) BITLOOP_TRY(write_file_atomic(path_, wanted));
  rows_ = std::move(rows);
  return {};
}

std::vector<StoredRow> Ledger::rows() const {
  const std::lock_guard lock(mutex_);
  return rows_;
}

std::string Ledger::text() const { return render(rows()); }

}  // namespace bitloop::ledger
