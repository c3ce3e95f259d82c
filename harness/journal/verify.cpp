#include "harness/journal/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/journal/git.h"

namespace bitloop::journal {
namespace {

namespace fs = std::filesystem;

using OdbObject = GitPtr<git_odb_object, git_odb_object_free>;

constexpr size_t kMostProblems = 20;  // of one session: the first tell the story
constexpr size_t kReferenceSize = GIT_OID_HEXSZ + 1;

class Walk {
 public:
  Walk(git_repository* repository, git_odb* odb, JournalHealth& health)
      : repository_(repository), odb_(odb), health_(health) {}

  void session(const std::string& id, git_oid commit) {
    const size_t before = health_.problems.size();
    while (true) {
      if (health_.problems.size() - before > kMostProblems) return;
      if (!whole(id, commit, "commit")) return;
      git_commit* raw = nullptr;
      if (git_commit_lookup(&raw, repository_, &commit) < 0) return broken(id, commit, "commit");
      const GitCommit owner(raw);
      ++health_.commits;
      tree(id, *git_commit_tree_id(raw));
      if (git_commit_parentcount(raw) == 0) break;
      commit = *git_commit_parent_id(raw, 0);
    }
    if (health_.problems.size() == before) health_.sessions.push_back(id);
  }

 private:
  void broken(const std::string& id, const git_oid& object, const char* kind) {
    health_.problems.push_back(
        fmt::format("session {}: {} {} is missing or damaged", id, kind, to_hex(object)));
  }

  // Reads an object once; libgit2 compares its content with its name.
  bool whole(const std::string& id, const git_oid& object, const char* kind) {
    const std::string name(reinterpret_cast<const char*>(object.id), GIT_OID_RAWSZ);
    if (whole_.contains(name)) return true;
    git_odb_object* raw = nullptr;
    const int code = git_odb_read(&raw, odb_, &object);
    const OdbObject owner(raw);
    if (code < 0) {
      broken(id, object, kind);
      return false;
    }
    whole_.insert(name);
    return true;
  }

  void tree(const std::string& id, const git_oid& object) {
    if (!whole(id, object, "tree")) return;
    git_tree* raw = nullptr;
    if (git_tree_lookup(&raw, repository_, &object) < 0) return broken(id, object, "tree");
    const GitTree owner(raw);
    for (size_t i = 0; i < git_tree_entrycount(raw); ++i)
      whole(id, *git_tree_entry_id(git_tree_entry_byindex(raw, i)), "file");
  }

  git_repository* repository_;
  git_odb* odb_;
  JournalHealth& health_;
  std::unordered_set<std::string> whole_;
};

// A reference that is not forty digits and a newline is none to libgit2, which passes it over.
void check_references(const fs::path& folder, JournalHealth& health) {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->is_regular_file() || entry->path().extension() == ".lock") continue;
    const std::string text = read_file(entry->path(), kReferenceSize + 1).value_or("");
    git_oid id;
    if (text.size() != kReferenceSize || text.back() != '\n' ||
        !from_hex(std::string_view(text).substr(0, GIT_OID_HEXSZ), id))
      health.problems.push_back(fmt::format("session {}: its reference {} holds no commit",
                                            entry->path().filename().string(),
                                            entry->path().string()));
  }
}

void look_around(const fs::path& repository, JournalHealth& health) {
  std::error_code error;
  const auto locks_in = [&](auto iterator) {
    for (const auto& entry : iterator)
      if (entry.path().extension() == ".lock") health.leftovers.push_back(entry.path());
  };
  locks_in(fs::directory_iterator(repository, error));
  locks_in(fs::recursive_directory_iterator(repository / "refs", error));
  for (const auto& entry : fs::directory_iterator(repository / "objects", error)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file()) health.leftovers.push_back(entry.path());
    if (!entry.is_directory() || name.size() != 2) continue;
    for (const auto& object : fs::directory_iterator(entry.path(), error))
      if (object.path().filename().string().size() == GIT_OID_HEXSZ - 2) ++health.loose_objects;
  }
  for (const auto& entry : fs::directory_iterator(repository / "objects" / "pack", error))
    if (entry.path().extension() == ".pack") ++health.packs;
}

}  // namespace

Result<JournalHealth> verify(const fs::path& workspace) {
  start_git();
  const fs::path path = workspace / "journal.git";
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return fail("file_not_found", fmt::format("there is no journal at {}", path.string()));
  BITLOOP_ASSIGN(repository, open_repository(path));
  git_odb* raw_odb = nullptr;
  if (const int code = git_repository_odb(&raw_odb, repository.get()); code < 0)
    return std::unexpected(git_error(code, "opening the journal's objects", "journal_unreadable"));
  const GitOdb odb(raw_odb);
  JournalHealth health;
  check_references(path / "refs" / "heads" / "sessions", health);
  git_reference_iterator* raw = nullptr;
  constexpr std::string_view kPrefix = "refs/heads/sessions/";
  if (const int code =
          git_reference_iterator_glob_new(&raw, repository.get(), "refs/heads/sessions/*");
      code < 0)
    return std::unexpected(git_error(code, "listing the sessions", "journal_unreadable"));
  const GitReferenceIterator iterator(raw);
  Walk walk(repository.get(), odb.get(), health);
  const char* name = nullptr;
  while (git_reference_next_name(&name, raw) == 0) {
    const std::string id(std::string_view(name).substr(kPrefix.size()));
    git_oid commit;
    if (git_reference_name_to_id(&commit, repository.get(), name) < 0)
      health.problems.push_back(
          fmt::format("session {}: its reference can't be read", single_line(id)));
    else
      walk.session(id, commit);
  }
  std::ranges::sort(health.sessions);
  look_around(path, health);
  return health;
}

}  // namespace bitloop::journal
