// git's loose objects, written with fewer system calls than libgit2 makes (some 25 an object): the
// form is `deflate("<kind> <size>\0" content)`, under its SHA-1.
#pragma once

#include <git2.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "harness/base/fd.h"
#include "harness/journal/spare_files.h"

namespace bitloop::journal {

struct WrittenObject {
  git_oid id;
  UniqueFd file;  // to be fsynced; none where the object was there before
};

class ObjectWriter {
 public:
  // Both must outlive it.
  ObjectWriter(git_odb* known, SpareFiles& spare, std::filesystem::path repository)
      : known_(known), spare_(spare), objects_(std::move(repository) / "objects") {}

  // Errors: "journal_failed", "io_error", "disk_full".
  Result<WrittenObject> write(git_object_t kind, std::string_view content) const;
  std::filesystem::path path_of(const git_oid& id) const;

 private:
  git_odb* known_;
  SpareFiles& spare_;
  std::filesystem::path objects_;
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
