#include "harness/journal/pack.h"

#include <fmt/format.h>
#include <git2/sys/odb_backend.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "harness/journal/durable.h"
#include "harness/journal/git.h"

namespace bitloop::journal {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRemovedAtOnce = 32;
constexpr std::chrono::milliseconds kPause(1);
constexpr uintmax_t kSpareBytes = uintmax_t{64} << 20;  // left to everybody else while it packs

using OdbObject = GitPtr<git_odb_object, git_odb_object_free>;
using PackBuilder = GitPtr<git_packbuilder, git_packbuilder_free>;

struct Loose {
  git_oid id;
  fs::path path;
};

// Calls `take(id, path)` for each loose object until it returns false.
template <typename Take>
void for_each_loose(const fs::path& repository, const Take& take) {
  std::error_code error;
  for (fs::directory_iterator folder(repository / "objects", error), end; !error && folder != end;
       folder.increment(error)) {
    const std::string prefix = folder->path().filename().string();
    if (prefix.size() != 2) continue;
    std::error_code ignored;
    for (fs::directory_iterator file(folder->path(), ignored); !ignored && file != end;
         file.increment(ignored)) {
      git_oid id;
      if (from_hex(prefix + file->path().filename().string(), id) && !take(id, file->path()))
        return;
    }
  }
}

std::vector<Loose> list_loose(const fs::path& repository) {
  std::vector<Loose> found;
  for_each_loose(repository, [&](const git_oid& id, const fs::path& path) {
    found.push_back({id, path});
    return found.size() < kMostInOnePack;
  });
  return found;
}

int ask(int, uint32_t, uint32_t, void* stop) {
  return (*static_cast<const std::function<bool()>*>(stop))() ? -1 : 0;
}
int ask_while_indexing(const git_indexer_progress*, void* stop) { return ask(0, 0, 0, stop); }

// Writes a pack of these objects and its index into `folder`; keeps in `objects` what is in it. The
// pack's path without extension, or nothing when it was stopped.
Result<fs::path> write_pack(const fs::path& repository_path, const fs::path& folder,
                            std::vector<Loose>& objects, const std::function<bool()>& stop) {
  BITLOOP_ASSIGN(repository, open_repository(repository_path));
  git_odb* raw_odb = nullptr;
  git_packbuilder* raw_builder = nullptr;
  int code = git_repository_odb(&raw_odb, repository.get());
  const GitOdb odb(raw_odb);
  if (code == 0) code = git_packbuilder_new(&raw_builder, repository.get());
  const PackBuilder builder(raw_builder);
  if (code < 0) return std::unexpected(git_error(code, "beginning a pack"));
  git_packbuilder_set_threads(raw_builder, 1);
  void* payload = const_cast<std::function<bool()>*>(&stop);
  git_packbuilder_set_callbacks(raw_builder, ask, payload);

  std::vector<Loose> whole;
  for (Loose& object : objects) {
    if (stop()) return fs::path();
    git_odb_object* raw = nullptr;  // compared with its name; a damaged one would stop every pack
    code = git_odb_read(&raw, raw_odb, &object.id);
    const OdbObject owner(raw);
    if (code < 0) continue;
    if (code = git_packbuilder_insert(raw_builder, &object.id, nullptr); code < 0)
      return std::unexpected(git_error(code, "adding to a pack"));
    whole.push_back(std::move(object));
  }
  objects = std::move(whole);
  if (objects.empty()) return fs::path();
  code = git_packbuilder_write(raw_builder, folder.c_str(), 0444, ask_while_indexing, payload);
  if (stop()) return fs::path();
  if (code < 0) return std::unexpected(git_error(code, "writing a pack"));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".idx") return fs::path(entry.path()).replace_extension();
  return fail("journal_failed", "libgit2 wrote a pack without an index");
}

// Whether the pack with this index, read anew, has all of them.
bool holds_all(const fs::path& index, const std::vector<Loose>& objects) {
  git_odb* raw_odb = nullptr;
  if (git_odb_new(&raw_odb) < 0) return false;
  const GitOdb odb(raw_odb);
  git_odb_backend* backend = nullptr;
  if (git_odb_backend_one_pack(&backend, index.c_str()) < 0) return false;
  if (git_odb_add_backend(raw_odb, backend, 1) < 0) {
    backend->free(backend);
    return false;
  }
  return std::ranges::all_of(
      objects, [&](const Loose& object) { return git_odb_exists(raw_odb, &object.id) == 1; });
}

// The pack is written through a mapping: where the disk is full by then, the kernel ends the
// process.
Status check_space(const fs::path& repository, const std::vector<Loose>& objects) {
  uintmax_t needed = kSpareBytes;
  std::error_code error;
  for (const Loose& object : objects)
    if (const uintmax_t size = fs::file_size(object.path, error); !error) needed += size;
  const fs::space_info space = fs::space(repository, error);
  if (!error && space.available < needed)
    return fail("disk_full", fmt::format("packing wants {} MiB free", needed >> 20));
  return {};
}

fs::path with(const fs::path& base, const char* extension) { return base.string() + extension; }

}  // namespace

size_t count_loose_objects(const fs::path& repository) {
  size_t count = 0;
  for_each_loose(repository, [&](const git_oid&, const fs::path&) { return ++count, true; });
  return count;
}

Result<size_t> pack_loose_objects(const fs::path& repository, const std::function<bool()>& stop) {
  start_git();
  std::vector<Loose> objects = list_loose(repository);
  if (objects.empty()) return size_t{0};
  BITLOOP_TRY(check_space(repository, objects));
  const fs::path folder = repository / kNewPackFolder, packs = repository / "objects" / "pack";
  std::error_code error;
  fs::remove_all(folder, error);
  fs::create_directories(packs, error);
  if (!fs::create_directory(folder, error))
    return std::unexpected(errno_error(folder.string(), error.value()));
  auto written = write_pack(repository, folder, objects, stop);
  if (!written || written->empty()) {
    fs::remove_all(folder, error);
    if (!written) return std::unexpected(written.error());
    return size_t{0};
  }
  if (!holds_all(with(*written, ".idx"), objects)) {
    fs::remove_all(folder, error);
    return fail("journal_failed", fmt::format("the new pack {} is not what was to be packed",
                                              written->filename().string()));
  }
  BITLOOP_TRY(sync_together({with(*written, ".pack"), with(*written, ".idx")}));
  const fs::path final_name = packs / written->filename();
  for (const char* extension : {".pack", ".idx"}) {  // without its index a pack is not seen
    fs::rename(with(*written, extension), with(final_name, extension), error);
    if (error) return std::unexpected(errno_error(final_name.string(), error.value()));
    BITLOOP_TRY(sync_folder(packs));
  }
  size_t removed = 0;
  for (size_t i = 0; i < objects.size(); ++i) {
    // Thousands of removals at once are felt by whoever waits for the disk.
    if (i % kRemovedAtOnce == 0) std::this_thread::sleep_for(kPause);
    removed += fs::remove(objects[i].path, error) ? 1 : 0;
  }
  fs::remove_all(folder, error);
  return removed;
}

}  // namespace bitloop::journal
