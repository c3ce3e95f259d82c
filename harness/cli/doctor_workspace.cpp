#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <thread>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/cli/doctor.h"
#include "harness/jobs/run_folder.h"
#include "harness/journal/journal.h"
#include "harness/journal/verify.h"
#include "harness/ledger/ledger.h"
#include "harness/sessions/job.h"
#include "harness/sessions/records.h"

namespace bitloop::cli {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr uint64_t kLittleSpace = uint64_t{1} << 30, kNoSpace = uint64_t{100} << 20;
constexpr uint64_t kFewFiles = 10'000;
constexpr int kLooks = 5;         // at a ledger that a server writes meanwhile
constexpr size_t kMostNamed = 3;  // in one line

std::string size_text(uint64_t bytes) {
  if (bytes >= uint64_t{1} << 30)
    return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30));
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::string some_of(const std::vector<std::string>& list) {
  std::vector<std::string> first(
      list.begin(), list.begin() + static_cast<ptrdiff_t>(std::min(list.size(), kMostNamed)));
  const size_t more = list.size() - first.size();
  return join(first, "; ") + (more > 0 ? fmt::format("; and {} more", more) : "");
}

Check check_folder(const DoctorOptions& options) {
  if (::access(options.workspace.c_str(), W_OK | X_OK) != 0)
    return {"workspace", Health::kProblem,
            fmt::format("{} can't be written by this user", options.workspace.string()),
            "give this user the folder, or name another with --workspace"};
  return {"workspace", Health::kOk,
          fmt::format("{}{}", options.workspace.string(),
                      options.server ? ", held by a running process" : ", held by no process"),
          ""};
}

Check check_disk(const fs::path& workspace) {
  struct statvfs disk {};
  if (::statvfs(workspace.c_str(), &disk) != 0)
    return {"disk", Health::kWarning, "its free space is not known", ""};
  const uint64_t space = uint64_t{disk.f_bavail} * disk.f_frsize;
  const bool counts_files = disk.f_files > 0;  // some file systems don't
  Check check{"disk", Health::kOk, size_text(space) + " free", ""};
  if (counts_files) check.detail += fmt::format(", room for {} files", disk.f_favail);
  if (space < kLittleSpace || (counts_files && disk.f_favail < kFewFiles)) {
    check.health = space < kNoSpace ? Health::kProblem : Health::kWarning;
    check.advice = "make room: old runs' folders can go, the journal has their scores";
  }
  return check;
}

// What the journal says, read once.
struct Told {
  std::vector<sessions::SessionState> states;
  std::vector<std::string> unreadable;  // sentences
};

Result<Told> read_journal(const fs::path& workspace) {
  BITLOOP_ASSIGN(journal, journal::Journal::open_read_only(workspace));
  BITLOOP_ASSIGN(ids, journal->sessions());
  Told told;
  for (const std::string& id : ids) {
    auto stored = sessions::read_session(*journal, id);
    if (stored)
      told.states.push_back(std::move(stored->state));
    else
      told.unreadable.push_back(fmt::format("session {}: {}", id, stored.error().message));
  }
  return told;
}

std::vector<ledger::Row> rows_of(const Told& told) {
  std::vector<ledger::Row> rows;
  for (const sessions::SessionState& state : told.states)
    for (ledger::Row& row : sessions::rows_of(state)) rows.push_back(std::move(row));
  std::ranges::stable_sort(rows, {}, &ledger::Row::time);
  return rows;
}

// Row by row, as they stand in the file; in words.
std::vector<std::string> differences(const std::vector<ledger::Row>& wanted,
                                     const std::vector<ledger::Row>& present) {
  const auto by_test = [](const std::vector<ledger::Row>& rows) {
    std::map<std::pair<std::string, int64_t>, const ledger::Row*> map;
    for (const ledger::Row& row : rows) map[{row.session, row.test.value_or(0)}] = &row;
    return map;
  };
  const auto journal = by_test(wanted), file = by_test(present);
  std::vector<std::string> found;
  for (const auto& [key, row] : journal) {
    const std::string name = fmt::format("{}/{}", key.first, key.second);
    const auto other = file.find(key);
    if (other == file.end()) {
      found.push_back(name + " is missing");
      continue;
    }
    for (const ledger::Column& column : ledger::columns())
      if (ledger::field_text(*row, column) != ledger::field_text(*other->second, column))
        found.push_back(fmt::format("{} has another {}", name, column.name));
  }
  for (const auto& [key, row] : file)
    if (!journal.contains(key))
      found.push_back(fmt::format("{}/{} is not in the journal", key.first, key.second));
  if (file.size() != present.size()) found.emplace_back("a test has several lines");
  return found;
}

Check check_ledger(const DoctorOptions& options, Told told) {
  const fs::path path = options.workspace / "results.tsv";
  std::vector<std::string> found;
  // A server commits first and writes its line then.
  for (int look = 0; look < (options.server ? kLooks : 1); ++look) {
    if (look > 0) {
      std::this_thread::sleep_for(200ms);
      if (auto again = read_journal(options.workspace)) told = std::move(*again);
    }
    const auto rows = ledger::Ledger::read(path);
    std::error_code ignored;
    if (!rows)
      found = {rows.error().message};
    else if (!fs::exists(path, ignored) && !told.states.empty())
      found = {fmt::format("{} is missing", path.string())};
    else
      found = differences(rows_of(told), *rows);
    if (found.empty())
      return {"ledger", Health::kOk, fmt::format("{} rows, as the journal has them", rows->size()),
              ""};
  }
  return {"ledger", Health::kProblem, some_of(found),
          "--repair rebuilds it from the journal (so does the next start of a server)"};
}

struct Runs {
  size_t alive = 0;
  std::vector<std::string> lost;                       // "a/1": its files are gone
  std::vector<std::string> unfinished;                 // "a/2": nobody runs it
  std::vector<std::string> resumable;                  // neither these, but they can go on
  std::vector<std::pair<fs::path, uint64_t>> orphans;  // with their sizes
};

uint64_t size_of(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored) && !entry->is_symlink(ignored))
      bytes += entry->file_size(ignored);
  }
  return bytes;
}

Runs look_at_runs(const fs::path& workspace, const Told& told) {
  Runs runs;
  std::set<fs::path> known;
  for (const sessions::SessionState& state : told.states)
    for (const sessions::TestRecord& test : state.tests) {
      const fs::path folder = sessions::run_dir(workspace, state.id, test.number);
      known.insert(folder.filename());
      const std::string name = fmt::format("{}/{}", state.id, test.number);
      const bool alive = jobs::run_is_alive(folder);
      runs.alive += alive ? 1 : 0;
      if (alive || jobs::run_has_verdict(folder)) continue;
      if (test.running())
        (jobs::run_can_resume(folder) ? runs.resumable : runs.unfinished).push_back(name);
      else if (test.status != sessions::kInfrastructure)
        runs.lost.push_back(name);
    }
  std::error_code error;
  for (fs::directory_iterator entry(workspace / "runs", error), end; !error && entry != end;
       entry.increment(error))
    if (!known.contains(entry->path().filename()) && !jobs::run_is_alive(entry->path()))
      runs.orphans.emplace_back(entry->path(), size_of(entry->path()));
  std::ranges::sort(runs.orphans);
  return runs;
}

std::vector<Check> check_runs(const DoctorOptions& options, const Told& told) {
  const Runs runs = look_at_runs(options.workspace, told);
  std::vector<Check> checks;
  checks.push_back({"runs", Health::kOk, fmt::format("{} under way", runs.alive), ""});
  if (!runs.unfinished.empty() && !options.server)
    checks.push_back({"runs", Health::kWarning, "nobody runs " + some_of(runs.unfinished),
                      "the next start of a server ends them as infrastructure, not charged"});
  if (!runs.resumable.empty() && !options.server)
    checks.push_back({"runs", Health::kWarning, "nobody runs " + some_of(runs.resumable),
                      "the next start of a server lets them go on from their newest checkpoints "
                      "(bitloop train --resume does it for one of session local)"});
  if (!runs.lost.empty())
    checks.push_back({"runs", Health::kWarning, "without their verdict.json: " + some_of(runs.lost),
                      "scores are in the journal; bitloop replay makes them again"});
  if (!runs.orphans.empty() && !options.server) {
    uint64_t bytes = 0;
    std::vector<std::string> names;
    for (const auto& [path, size] : runs.orphans) {
      bytes += size;
      names.push_back(fmt::format("{} ({})", path.filename().string(), size_text(size)));
    }
    checks.push_back(
        {"orphans", Health::kWarning,
         fmt::format("{} in runs/ that no session names: {}", size_text(bytes), some_of(names)),
         "--repair removes them"});
  }
  return checks;
}

// Git takes no folder for a repository without it, though it says nothing that the sessions do not.
bool lacks_head(const fs::path& journal) {
  std::error_code ignored;
  const bool there =
      fs::exists(journal / "HEAD", ignored) && fs::file_size(journal / "HEAD", ignored) > 0;
  return !there && fs::is_directory(journal / "objects", ignored) &&
         fs::is_directory(journal / "refs", ignored);
}

std::vector<Check> check_journal(const DoctorOptions& options) {
  if (lacks_head(options.workspace / "journal.git"))
    return {{"journal", Health::kProblem, "journal.git has no HEAD, so that git can't read it",
             "--repair writes it again"}};
  const auto health = journal::verify(options.workspace);
  if (!health && health.error().code == "file_not_found")
    return {{"journal", Health::kWarning, health.error().message,
             "the first session makes it; is this the right --workspace?"}};
  if (!health)
    return {{"journal", Health::kProblem, health.error().message,
             "bring back journal.git from a copy"}};
  std::vector<Check> checks;
  if (!health->problems.empty())
    checks.push_back(
        {"journal", Health::kProblem, some_of(health->problems),
         "--repair brings back what was written last (so does the next start of a "
         "server); for the rest bring back journal.git from a copy; the other sessions "
         "are whole"});
  else
    checks.push_back(
        {"journal", Health::kOk,
         fmt::format("{} sessions, {} commits, {} loose objects, {} packs", health->sessions.size(),
                     health->commits, health->loose_objects, health->packs),
         ""});
  if (!health->leftovers.empty() && !options.server)
    checks.push_back({"locks", Health::kWarning,
                      fmt::format("{} left by a process that was killed, such as {}",
                                  health->leftovers.size(), health->leftovers.front().string()),
                      "--repair removes them (so does the next start of a server)"});
  return checks;
}

}  // namespace

bool workspace_is_held(const fs::path& workspace) {
  // Shared and given back at once; a lock of our own would keep a server from starting.
  const auto fd = open_file(workspace / ".lock", O_RDONLY);
  return fd && ::flock(fd->get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

std::vector<Check> check_workspace(const DoctorOptions& options) {
  std::vector<Check> checks = {check_folder(options), check_disk(options.workspace)};
  for (Check& check : check_journal(options)) checks.push_back(std::move(check));
  std::error_code ignored;
  if (!fs::exists(options.workspace / "journal.git", ignored)) return checks;
  auto told = read_journal(options.workspace);
  if (!told) return checks;  // check_journal has said it
  if (told->unreadable.empty())
    checks.push_back({"sessions", Health::kOk, "every session.json can be read", ""});
  else
    checks.push_back({"sessions", Health::kProblem, some_of(told->unreadable),
                      "bring back journal.git from a copy, or use the version that wrote it"});
  for (Check& check : check_runs(options, *told)) checks.push_back(std::move(check));
  checks.push_back(check_ledger(options, std::move(*told)));
  return checks;
}

Result<std::vector<std::string>> repair(const fs::path& workspace) {
  BITLOOP_ASSIGN(lock, journal::WorkspaceLock::acquire(workspace));
  std::vector<std::string> done;
  std::error_code ignored;
  if (!fs::exists(workspace / "journal.git", ignored)) return done;
  if (lacks_head(workspace / "journal.git")) {
    BITLOOP_TRY(replace_file(workspace / "journal.git" / "HEAD", "ref: refs/heads/main\n"));
    done.emplace_back("wrote the journal's HEAD again");
  }
  auto health = journal::verify(workspace);
  if (health && !(health->leftovers.empty() && health->problems.empty())) {
    // Removes leftovers, and writes again what its log has and the disk has not.
    BITLOOP_TRY(journal::Journal::open_or_create(lock));
    if (!health->leftovers.empty())
      done.push_back(
          fmt::format("removed {} leftover(s) in the journal", health->leftovers.size()));
    const size_t problems = health->problems.size();
    health = journal::verify(workspace);
    if (health && health->problems.size() < problems)
      done.push_back(fmt::format("mended {} problem(s) of the journal from its write-ahead log",
                                 problems - health->problems.size()));
  }
  BITLOOP_ASSIGN(told, read_journal(workspace));
  // A session that can't be read would be left out of the ledger, and its runs be taken for
  // orphans.
  if (!told.unreadable.empty() || !health || !health->problems.empty()) return done;
  const fs::path path = workspace / "results.tsv";
  const auto present = ledger::Ledger::read(path);
  std::vector<ledger::Row> rows = rows_of(told);
  if (!present) {  // kept beside it: whoever edited the file may want it back
    fs::rename(path, path.string() + ".unreadable", ignored);
    done.push_back(fmt::format("moved the ledger to {}.unreadable", path.string()));
  }
  if (!present || !fs::exists(path, ignored) || !differences(rows, *present).empty()) {
    done.push_back(fmt::format("rebuilt the ledger from the journal ({} rows)", rows.size()));
    BITLOOP_TRY(ledger::Ledger::replace_with(path, std::move(rows)));
  }
  for (const auto& [orphan, size] : look_at_runs(workspace, told).orphans) {
    std::error_code error;
    fs::remove_all(orphan, error);
    done.push_back(error ? fmt::format("could not remove {}: {}", orphan.string(), error.message())
                         : fmt::format("removed {} ({})", orphan.string(), size_text(size)));
  }
  return done;
}

}  // namespace bitloop::cli
