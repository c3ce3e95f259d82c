// git's loose objects, written with fewer system calls than libgit2 makes (some 25 an object): the
// form is `deflate("<kind> <size>\0" content)`, under its SHA-1.
#pragma once

#include <git2.h>

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "harness/journal/deflater.h"
#include "harness/journal/spare_files.h"

namespace bitloop::journal {

constexpr mode_t kObjectMode = 0444;

// Where an object lies that is in no pack.
std::filesystem::path loose_path(const std::filesystem::path& repository, const git_oid& id);

// An object that is written but has no name yet.
struct NewObject {
  git_oid id;
  std::string bytes;            // of its file
  std::optional<NewFile> file;  // none where the object was there before
};

class ObjectWriter {
 public:
  // `spare` and `deflater` must outlive it.
  ObjectWriter(SpareFiles& spare, Deflater& deflater, std::filesystem::path repository)
      : spare_(spare), deflater_(deflater), repository_(std::move(repository)) {}

  // `there`: an object that the repository is known to have, which this may be; else null. What is
  // there without our knowing is written again, which harms nobody: to ask every pack for every
  // object would take longer, and have all their indices in memory. Errors: "journal_failed",
  // "io_error", "disk_full".
  Result<NewObject> write(git_object_t kind, std::string_view content, const git_oid* there) const;
  // From now on git sees it. Waits for no disk. Errors: "io_error", "disk_full".
  Status publish(NewObject& object) const;

 private:
  SpareFiles& spare_;
  Deflater& deflater_;
  std::filesystem::path repository_;
};

// The content of a tree of two files and of a commit, as git has them.
struct TreeFile {
  const char* name;
  git_oid blob;
};
// `files` by name.
std::string tree_content(std::initializer_list<TreeFile> files);

struct CommitParts {
  git_oid tree;
  const git_oid* parent = nullptr;
  std::string who;  // "name <address>", author and committer
  int64_t time_s = 0;
  std::string message;
};
std::string commit_content(const CommitParts& parts);

}  // namespace bitloop::journal
