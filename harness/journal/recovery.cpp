#include "harness/journal/recovery.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "harness/journal/durable.h"
#include "harness/journal/git.h"
#include "harness/journal/log_record.h"
#include "harness/journal/objects.h"
#include "harness/journal/write_ahead_log.h"

namespace bitloop::journal {
namespace {

namespace fs = std::filesystem;

// True when it had to be written.
Result<bool> restore_object(const fs::path& repository, git_odb* known, const LoggedObject& object,
                            bool always) {
  git_oid id;
  if (!from_hex(object.id, id))
    return fail("journal_unreadable", "the write-ahead log names an object by no name of git's");
  const fs::path path = loose_path(repository, id);
  const auto there = read_file(path);
  if (!always && there && *there == object.bytes) return false;
  if (!there && there.error().code != "file_not_found") return std::unexpected(there.error());
  // Packed meanwhile; packs are on disk before what they replace is removed.
  if (!there && git_odb_exists(known, &id) == 1) return false;
  // remove_leftovers() knows it where a kill leaves it.
  const fs::path temporary = repository / "objects" / "tmp_restored";
  BITLOOP_ASSIGN(file, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  BITLOOP_TRY(write_all(file.get(), object.bytes));
  if (::fchmod(file.get(), kObjectMode) != 0)
    return std::unexpected(errno_error(temporary.string(), errno));
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  fs::rename(temporary, path, error);
  if (error) return std::unexpected(errno_error(path.string(), error.value()));
  return true;
}

// Whether `commit` is `head` or one of those before it.
bool is_behind(git_repository* repository, const git_oid& commit, git_oid head) {
  while (!git_oid_equal(&commit, &head)) {
    git_commit* raw = nullptr;
    if (git_commit_lookup(&raw, repository, &head) < 0) return false;
    const GitCommit owner(raw);
    if (git_commit_parentcount(raw) == 0) return false;
    head = *git_commit_parent_id(raw, 0);
  }
  return true;
}

// True when it had to be moved.
Result<bool> restore_branch(const fs::path& repository_path, git_repository* repository,
                            const std::string& branch, std::string commit, bool always) {
  git_oid wanted, head;
  if (!from_hex(commit, wanted))
    return fail("journal_unreadable", "the write-ahead log names a commit by no name of git's");
  // A reference that is damaged can't be read and is written again, too.
  if (git_reference_name_to_id(&head, repository, branch.c_str()) == 0 &&
      is_behind(repository, wanted, head)) {
    if (!always) return false;
    commit = to_hex(head);
  }
  const fs::path path = repository_path / branch;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  BITLOOP_ASSIGN(file, LockedFile::take(path));
  BITLOOP_TRY(file.write(commit + "\n"));
  BITLOOP_TRY(file.publish());
  return true;
}

}  // namespace

Result<size_t> recover(const fs::path& path) {
  BITLOOP_ASSIGN(records, WriteAheadLog::read(path / kLogFolder));
  if (records.empty()) return size_t{0};
  BITLOOP_ASSIGN(file_system, open_file(path, O_RDONLY | O_DIRECTORY));
  BITLOOP_ASSIGN(repository, open_repository(path));
  git_odb* raw = nullptr;
  if (const int code = git_repository_odb(&raw, repository.get()); code < 0)
    return std::unexpected(git_error(code, "opening the objects"));
  const GitOdb odb(raw);
  // What the disk is not known to have is written again though it seems to be there.
  const bool always = WriteAheadLog::is_unsynced(path / kLogFolder);
  size_t restored = 0;
  std::set<std::string> seen;                               // objects; the same bytes each time
  std::map<std::string, std::vector<std::string>> commits;  // of each branch, in their order
  for (const std::string& record : records) {
    BITLOOP_ASSIGN(event, decode(record));
    // Also of what was withdrawn: a later event may have found them there.
    for (const LoggedObject& object : event.objects) {
      if (!seen.insert(object.id).second) continue;
      BITLOOP_ASSIGN(written, restore_object(path, odb.get(), object, always));
      restored += written ? 1 : 0;
    }
    std::vector<std::string>& of_branch = commits[event.branch];
    if (event.withdrawn)
      std::erase(of_branch, event.commit);
    else
      of_branch.push_back(event.commit);
  }
  // The last event of a branch is where it goes: one before it, which failed, may be no parent.
  for (const auto& [branch, of_branch] : commits) {
    if (of_branch.empty()) continue;
    BITLOOP_ASSIGN(moved, restore_branch(path, repository.get(), branch, of_branch.back(), always));
    restored += moved ? 1 : 0;
  }
  // All at once; until then the log has it.
  if (restored > 0 && ::syncfs(file_system.get()) != 0)
    return std::unexpected(errno_error("syncfs of " + path.string(), errno));
  if (always) BITLOOP_TRY(WriteAheadLog::set_synced(path / kLogFolder));
  return restored;
}

}  // namespace bitloop::journal
