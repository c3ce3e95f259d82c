// libgit2 for the journal: owners for its objects, its settings, and the one translation of its
// errors.
#pragma once

#include <git2.h>

#include <filesystem>
#include <memory>
#include <string_view>

#include "harness/base/result.h"

namespace bitloop::journal {

template <auto free_function>
struct GitDeleter {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
template <typename T, auto free_function>
using GitPtr = std::unique_ptr<T, GitDeleter<free_function>>;

using Repository = GitPtr<git_repository, git_repository_free>;
using GitCommit = GitPtr<git_commit, git_commit_free>;
using GitTree = GitPtr<git_tree, git_tree_free>;
using GitBlob = GitPtr<git_blob, git_blob_free>;
using GitOdb = GitPtr<git_odb, git_odb_free>;
using GitReferenceIterator = GitPtr<git_reference_iterator, git_reference_iterator_free>;

// Starts libgit2 once in the process: no configuration but the repository's own is read.
void start_git();

// The error of a libgit2 call that just returned `code` on this thread. `what` says what was being
// done. Codes: "disk_full", else `otherwise`.
Error git_error(int code, std::string_view what, std::string_view otherwise = "journal_failed");

std::string to_hex(const git_oid& id);
// False unless `text` is 40 hexadecimal digits.
bool from_hex(std::string_view text, git_oid& id);

// Makes an empty journal at `path`: complete when the name appears, nothing there before.
Status create_repository(const std::filesystem::path& path);
// Removes what a killed process left in a repository that nobody writes to: locks and half-written
// objects.
Status remove_leftovers(const std::filesystem::path& repository);
// Errors: "journal_unreadable".
Result<Repository> open_repository(const std::filesystem::path& path);

}  // namespace bitloop::journal
