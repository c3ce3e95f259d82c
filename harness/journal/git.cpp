#include "harness/journal/git.h"

#include <fmt/format.h>

#include <mutex>
#include <vector>

#include "harness/base/fd.h"
#include "harness/journal/durable.h"
#include "harness/journal/pack.h"

namespace bitloop::journal {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFirstHead = "main";  // until the first session; no such branch is ever made

Status fill_repository(const fs::path& path) {
  git_repository_init_options options = GIT_REPOSITORY_INIT_OPTIONS_INIT;
  options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKDIR |
                  GIT_REPOSITORY_INIT_MKPATH | GIT_REPOSITORY_INIT_NO_REINIT;
  options.initial_head = kFirstHead;
  git_repository* raw = nullptr;
  if (const int code = git_repository_init_ext(&raw, path.c_str(), &options); code < 0)
    return std::unexpected(git_error(code, fmt::format("making {}", path.string())));
  Repository owner(raw);
  fs::create_directories(path / "refs" / "heads" / "sessions");
  std::vector<fs::path> paths = {path};
  for (const auto& entry : fs::recursive_directory_iterator(path)) paths.push_back(entry.path());
  return sync_together(paths);
}

}  // namespace

void start_git() {
  constexpr auto kMostCached = static_cast<ssize_t>(1 << 20);
  constexpr size_t kPackWindow = size_t{256} << 10, kMostMapped = size_t{4} << 20;
  static std::once_flag once;
  std::call_once(once, [] {
    git_libgit2_init();
    // A workspace on a mounted volume may belong to another user. Nothing in the repository's
    // configuration is run by us.
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    // The library keeps commits and trees that were read, 256 MiB by default; ours are read once.
    git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, kMostCached);
    // Of packs no more is mapped at a time than is looked at; the default is gigabytes.
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, kPackWindow);
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, kMostMapped);
    for (const int level : {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
                            GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL})
      git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
  });
}

Error git_error(int code, std::string_view what, std::string_view otherwise) {
  const ::git_error* last = git_error_last();
  const std::string_view words = last && last->message ? last->message : "no reason given";
  const bool full = words.find("No space left") != std::string_view::npos ||
                    words.find("quota exceeded") != std::string_view::npos;
  return Error{full ? "disk_full" : std::string(otherwise),
               fmt::format("{}: {} (libgit2 error {})", what, words, code)};
}

std::string content_id(std::string_view content) {
  start_git();
  git_oid id;
  if (git_odb_hash(&id, content.data(), content.size(), GIT_OBJECT_BLOB) != 0) return "";
  return to_hex(id);
}

std::string to_hex(const git_oid& id) {
  char text[GIT_OID_HEXSZ + 1];
  return git_oid_tostr(text, sizeof text, &id);
}

bool from_hex(std::string_view text, git_oid& id) {
  return text.size() == GIT_OID_HEXSZ && git_oid_fromstrn(&id, text.data(), text.size()) == 0;
}

Status create_repository(const fs::path& path) {
  const fs::path temporary = path.string() + ".new";
  try {
    fs::remove_all(temporary);  // of a process killed while it made one
    BITLOOP_TRY(fill_repository(temporary));
    fs::rename(temporary, path);
  } catch (const fs::filesystem_error& error) {
    return std::unexpected(errno_error(error.what(), error.code().value()));
  }
  return sync_folder(path.parent_path());
}

Status remove_leftovers(const fs::path& repository) {
  try {
    std::vector<fs::path> stale;
    for (const auto& entry : fs::directory_iterator(repository))
      if (entry.path().extension() == ".lock") stale.push_back(entry.path());
    for (const auto& entry : fs::recursive_directory_iterator(repository / "refs"))
      if (entry.path().extension() == ".lock") stale.push_back(entry.path());
    for (const auto& entry : fs::directory_iterator(repository / "objects"))
      if (entry.is_regular_file()) stale.push_back(entry.path());
    fs::create_directories(repository / "objects" / "pack");
    for (const auto& entry : fs::directory_iterator(repository / "objects" / "pack")) {
      const fs::path& path = entry.path();
      // A pack whose index did not follow: nothing looks into it, its objects are loose still.
      if (path.extension() == ".pack" && !fs::exists(fs::path(path).replace_extension(".idx")))
        stale.push_back(path);
    }
    for (const fs::path& path : stale) fs::remove(path);
    fs::remove_all(repository / kNewPackFolder);
    fs::create_directories(repository / "refs" / "heads" / "sessions");  // git removes empty ones
  } catch (const fs::filesystem_error& error) {
    return std::unexpected(errno_error(error.what(), error.code().value()));
  }
  return {};
}

Result<Repository> open_repository(const fs::path& path) {
  git_repository* raw = nullptr;
  if (const int code = git_repository_open_bare(&raw, path.c_str()); code < 0)
    return std::unexpected(git_error(code, fmt::format("opening the journal {}", path.string()),
                                     "journal_unreadable"));
  return Repository(raw);
}

}  // namespace bitloop::journal
