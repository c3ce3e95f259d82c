// The journal: a bare git repository (journal.git) with a branch sessions/<id> for each session and
// a commit for each event. It is the database: what is not committed here did not happen.
//
// 1. When create_session() or append() has returned an id, the event is on disk: objects and
//    reference are written, and a record of them is flushed (write_ahead_log.h), from which the
//    next open_or_create() writes again what a power failure took.
// 2. A process killed at any moment leaves a valid repository: objects get their names once
//    they are written, the reference last. What it leaves lying about (*.lock, temporary objects)
//    is removed by the next open_or_create(). What has an error did not happen.
// 3. A branch moves only by compare-and-swap from the commit it was read at: no event is lost to a
//    second writer.
// 4. All functions may be called from any thread. Sessions do not wait for each other; appends to
//    one session are in turn.
//
// HEAD names the newest session, so that plain `git log` shows something of interest.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/journal/event.h"
#include "harness/journal/workspace_lock.h"

namespace bitloop::journal {

// What git calls a content (`git hash-object --stdin`): 40 hexadecimal digits.
std::string content_id(std::string_view content);

class Journal {
 public:
  // Opens <workspace>/journal.git for writing, making it if needed. The lock must outlive the
  // journal. Errors: "journal_unreadable" (not a repository of ours, damaged), "io_error",
  // "disk_full".
  static Result<std::unique_ptr<Journal>> open_or_create(const WorkspaceLock& lock);
  // Opens a journal to read while another process may own the workspace; writing through it fails
  // with "journal_read_only". Errors: "file_not_found", "journal_unreadable".
  static Result<std::unique_ptr<Journal>> open_read_only(const std::filesystem::path& workspace);
  ~Journal();

  // Starts a branch with its first event (kind "session"). id: 1 to 64 of a-z, 0-9 and '-', neither
  // first nor last '-'. Returns the commit's id. Errors: "bad_session_id", "session_exists",
  // "bad_trailer", and those of append().
  Result<std::string> create_session(std::string_view id, const Event& event);

  // Commits an event on the session's branch and returns the commit's id. With `expected_head` the
  // branch must still be at that commit. Errors: "unknown_session", "journal_conflict" (the head is
  // another: read it again), "bad_trailer", "journal_read_only", "journal_failed" (libgit2's own
  // words in the message), "disk_full".
  Result<std::string> append(std::string_view session, const Event& event,
                             std::string_view expected_head = {});

  // The newest commit of a session. Errors: "bad_session_id", "unknown_session".
  Result<std::string> head(std::string_view session) const;
  // All sessions' ids, sorted.
  Result<std::vector<std::string>> sessions() const;
  // A session's events, oldest first, newest last. Error: "unknown_session".
  Result<std::vector<Commit>> history(std::string_view session) const;
  // The event of a commit (40 digits), of whichever session. Error: "unknown_commit".
  Result<Commit> event(std::string_view commit) const;
  // The files as they were at a commit (40 digits). Error: "unknown_commit".
  Result<Snapshot> read(std::string_view commit) const;
  // The event of `session` whose id is, or starts with, `id` (at least 4 digits): what a person or
  // an agent names a commit by. Errors: "unknown_session", "unknown_commit" (also when it belongs
  // to another session), "ambiguous_commit".
  Result<Commit> find(std::string_view session, std::string_view id) const;
  // The same among all commits of the journal.
  Result<Commit> find(std::string_view id) const;

  // Gives back what libgit2 keeps of what was read: 16 MiB for each pack, in the end. Packs belong
  // to all repositories that are open, so all are closed at once: calls that come meanwhile wait,
  // for those that are reading.
  void forget_what_was_read() const;

  const std::filesystem::path& path() const;  // of journal.git

 private:
  struct Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitloop::journal
