#include "harness/journal/journal.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <functional>
#include <mutex>
#include <optional>

#include "harness/base/text.h"
#include "harness/journal/durable.h"
#include "harness/journal/git.h"
#include "harness/journal/log_record.h"
#include "harness/journal/objects.h"
#include "harness/journal/recovery.h"
#include "harness/journal/spare_files.h"
#include "harness/journal/write_ahead_log.h"

namespace bitloop::journal {
namespace {

constexpr std::string_view kBranchPrefix = "refs/heads/sessions/";
constexpr const char* kAuthor = "bitloop <bitloop@localhost>";
constexpr const char* kCandidateFile = "candidate.lua";
constexpr const char* kSessionFile = "session.json";
constexpr size_t kSmallestPrefix = 4;
constexpr size_t kMostOnShelf = 4;  // each has the indices of all packs in memory
constexpr std::chrono::milliseconds kLongestRead(50);  // that is waited for to close them all
constexpr size_t kSpareFiles = 64;                     // a dozen events' worth
constexpr size_t kPartOfAllFiles = 16;  // but no more than one in so many that may be open

Result<std::string> branch_of(std::string_view session) {
  const bool good = !session.empty() && session.size() <= 64 && session.front() != '-' &&
                    session.back() != '-' && std::ranges::all_of(session, [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                    });
  if (!good)
    return fail("bad_session_id",
                fmt::format("'{}' cannot be a session's id: use a-z, 0-9 and '-', 64 at most",
                            single_line(session.substr(0, 100))));
  return fmt::format("{}{}", kBranchPrefix, session);
}

std::unexpected<Error> unknown_session(std::string_view session) {
  return fail("unknown_session", fmt::format("there is no session {} in the journal", session));
}

// A folder that is missing here is no file that a client asked for.
Error ours(Error error) {
  if (error.code == "file_not_found") error.code = "journal_failed";
  return error;
}

std::unexpected<Error> unknown_commit(std::string_view commit) {
  return fail("unknown_commit", fmt::format("the journal has no commit '{}' here: name one of the "
                                            "session's history",
                                            single_line(commit.substr(0, 100))));
}

// The branch's commit, read from disk.
Result<git_oid> read_head(git_repository* repository, std::string_view session) {
  BITLOOP_ASSIGN(branch, branch_of(session));
  git_oid id;
  const int code = git_reference_name_to_id(&id, repository, branch.c_str());
  if (code == GIT_ENOTFOUND) return unknown_session(session);
  if (code < 0) return std::unexpected(git_error(code, "reading " + branch));
  return id;
}

Result<GitCommit> lookup_commit(git_repository* repository, const git_oid& id) {
  git_commit* raw = nullptr;
  if (const int code = git_commit_lookup(&raw, repository, &id); code < 0)
    return std::unexpected(git_error(code, "reading commit " + to_hex(id), "unknown_commit"));
  return GitCommit(raw);
}

Commit describe(const git_commit* commit) {
  Commit event = parse_message(git_commit_message(commit));
  event.id = to_hex(*git_commit_id(commit));
  if (git_commit_parentcount(commit) > 0) event.parent = to_hex(*git_commit_parent_id(commit, 0));
  event.time_s = git_commit_time(commit);
  return event;
}

// What a new commit must know of the one before it.
struct Parent {
  git_oid id;
  int64_t time_s = 0;
  // Its tree and that one's files: what is the same need not be written again.
  std::optional<git_oid> tree, candidate, session;
};
Result<Parent> read_parent(git_repository* repository, const git_oid& id) {
  BITLOOP_ASSIGN(commit, lookup_commit(repository, id));
  git_tree* raw = nullptr;
  if (const int code = git_commit_tree(&raw, commit.get()); code < 0)
    return std::unexpected(git_error(code, "reading a tree"));
  const GitTree tree(raw);
  Parent parent{id, git_commit_time(commit.get()), *git_tree_id(raw), {}, {}};
  if (const auto* entry = git_tree_entry_byname(raw, kCandidateFile))
    parent.candidate = *git_tree_entry_id(entry);
  if (const auto* entry = git_tree_entry_byname(raw, kSessionFile))
    parent.session = *git_tree_entry_id(entry);
  return parent;
}

// Writes the commit's objects, without names yet. The last of them is the commit.
Result<std::vector<NewObject>> write_commit(const ObjectWriter& writer, const Event& event,
                                            const std::optional<Parent>& parent) {
  BITLOOP_ASSIGN(message, render_message(event));
  const auto written_as = [&](git_object_t kind, std::string_view content,
                              const std::optional<git_oid>& there) {
    return writer.write(kind, content, there ? &*there : nullptr);
  };
  const Parent& known = parent ? *parent : Parent{};
  BITLOOP_ASSIGN(candidate, written_as(GIT_OBJECT_BLOB, event.candidate, known.candidate));
  BITLOOP_ASSIGN(session, written_as(GIT_OBJECT_BLOB, event.session_json, known.session));
  BITLOOP_ASSIGN(
      tree, written_as(GIT_OBJECT_TREE,
                       tree_content({{kCandidateFile, candidate.id}, {kSessionFile, session.id}}),
                       known.tree));
  // A clock that was set back must not make a child older than its parent.
  const int64_t now = std::max<int64_t>(std::time(nullptr), known.time_s);
  BITLOOP_ASSIGN(
      commit,
      written_as(GIT_OBJECT_COMMIT,
                 commit_content({tree.id, parent ? &parent->id : nullptr, kAuthor, now, message}),
                 {}));
  std::vector<NewObject> written;
  for (NewObject* object : {&candidate, &session, &tree, &commit})
    written.push_back(std::move(*object));
  return written;
}

Result<std::string> read_blob(git_repository* repository, const git_tree* tree, const char* name) {
  const git_tree_entry* entry = git_tree_entry_byname(tree, name);
  if (!entry) return fail("unknown_commit", fmt::format("the commit has no file {}", name));
  git_blob* raw = nullptr;
  if (const int code = git_blob_lookup(&raw, repository, git_tree_entry_id(entry)); code < 0)
    return std::unexpected(git_error(code, fmt::format("reading {}", name)));
  GitBlob blob(raw);
  return std::string(static_cast<const char*>(git_blob_rawcontent(raw)),
                     static_cast<size_t>(git_blob_rawsize(raw)));
}

size_t spare_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return std::min(kSpareFiles, static_cast<size_t>(limit.rlim_cur) / kPartOfAllFiles);
}

}  // namespace

struct Journal::Impl {
  // A repository handle of libgit2 belongs to one thread at a time; this one goes back to the
  // shelf.
  class Lease {
   public:
    Lease(Impl& owner, Repository repository)
        : owner_(&owner), repository_(std::move(repository)) {}
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (repository_) owner_->take_back(std::move(repository_));
    }
    git_repository* get() const { return repository_.get(); }

   private:
    Impl* owner_;
    Repository repository_;
  };

  Result<Lease> lease() {
    {
      std::unique_lock lock(shelf_mutex);
      shelf_changed.wait(lock, [this] { return !emptying; });
      ++leased;
      if (!shelf.empty()) {
        Repository repository = std::move(shelf.back());
        shelf.pop_back();
        return Lease(*this, std::move(repository));
      }
    }
    auto repository = open_repository(path);
    if (repository) return Lease(*this, std::move(*repository));
    take_back(nullptr);
    return std::unexpected(repository.error());
  }

  void take_back(Repository repository) {
    {
      const std::lock_guard lock(shelf_mutex);
      if (repository && !emptying && shelf.size() < kMostOnShelf)
        shelf.push_back(std::move(repository));
    }
    repository.reset();  // closed before it is counted as such
    {
      const std::lock_guard lock(shelf_mutex);
      --leased;
    }
    shelf_changed.notify_all();
  }

  void empty_shelf() {
    std::unique_lock lock(shelf_mutex);
    if (emptying) return;
    emptying = true;
    if (shelf_changed.wait_for(lock, kLongestRead, [this] { return leased == 0; })) shelf.clear();
    emptying = false;
    lock.unlock();
    shelf_changed.notify_all();
  }

  Result<LockedFile> lock_branch(const std::string& branch) {
    const std::filesystem::path file = path / branch;
    const std::filesystem::path folder = file.parent_path();
    if (std::error_code error; !std::filesystem::exists(folder, error)) {
      // git removes the folder when it has packed the references in it.
      std::filesystem::create_directories(folder, error);
    }
    auto empty = spare.take();
    if (!empty) return std::unexpected(ours(empty.error()));
    auto locked = LockedFile::take(file, std::move(*empty));
    if (!locked && locked.error().code == "locked")
      return fail("journal_conflict", locked.error().message);
    if (!locked) return std::unexpected(ours(locked.error()));
    return locked;
  }

  // HEAD names the branch. A convenience for people with git: the session exists whether or not
  // this succeeds.
  void show_in_head(const std::string& branch) {
    const std::lock_guard lock(head_mutex);
    auto empty = spare.take();
    if (!empty) return;
    auto head = LockedFile::take(path / "HEAD", std::move(*empty));
    // On disk before it is renamed: a repository whose HEAD is cut is none to git.
    if (head && head->write(fmt::format("ref: {}\n", branch)) && sync_together({head->lock_path()}))
      (void)head->publish();
  }

  // Makes the event happen: once its record is on disk, its objects get their names and the branch
  // points to the last of them. `reference` is the branch's file, locked.
  Result<std::string> publish(const std::string& branch, const ObjectWriter& writer,
                              std::vector<NewObject>& written, LockedFile& reference) {
    LoggedEvent event{branch, to_hex(written.back().id), {}};
    for (const NewObject& object : written)
      if (object.file) event.objects.push_back({to_hex(object.id), object.bytes});
    BITLOOP_TRY(reference.write(event.commit + "\n"));
    // Whoever asked for it is told that it failed, so the next start must not bring it back.
    const auto withdraw = [&] {
      (void)log->append(encode({branch, event.commit, {}, /*withdrawn=*/true}));
    };
    Status done;
    try {
      const auto entry = log->append(encode(event));  // held until all is where it belongs
      if (!entry) done = std::unexpected(entry.error());
      for (NewObject& object : written)
        if (done) done = writer.publish(object);
      if (done) done = reference.publish();
    } catch (...) {
      withdraw();
      throw;
    }
    if (done) return event.commit;
    withdraw();
    return std::unexpected(ours(done.error()));
  }

  std::mutex& mutex_of(std::string_view session) {
    return session_mutexes[std::hash<std::string_view>{}(session) % session_mutexes.size()];
  }

  explicit Impl(std::filesystem::path repository)
      : path(std::move(repository)), spare(path / "objects", spare_files()) {}

  const std::filesystem::path path;
  SpareFiles spare;
  Deflater deflater;
  std::unique_ptr<WriteAheadLog> log;  // null where it is only read
  bool read_only = false;
  std::mutex shelf_mutex;
  std::condition_variable shelf_changed;
  std::vector<Repository> shelf;
  size_t leased = 0;      // repositories that are in use
  bool emptying = false;  // nobody takes one
  std::mutex head_mutex;  // HEAD is one for all sessions
  std::array<std::mutex, 1024> session_mutexes;
};

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Journal::~Journal() = default;

Result<std::unique_ptr<Journal>> Journal::open_or_create(const WorkspaceLock& lock) {
  start_git();
  auto impl = std::make_unique<Impl>(lock.workspace() / "journal.git");
  if (!std::filesystem::exists(impl->path)) BITLOOP_TRY(create_repository(impl->path));
  BITLOOP_TRY(impl->lease());  // is it a repository? before anything in it is touched
  BITLOOP_TRY(remove_leftovers(impl->path));
  BITLOOP_TRY(recover(impl->path));
  BITLOOP_ASSIGN(log, WriteAheadLog::open(impl->path / kLogFolder));
  impl->log = std::move(log);
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

Result<std::unique_ptr<Journal>> Journal::open_read_only(const std::filesystem::path& workspace) {
  start_git();
  auto impl = std::make_unique<Impl>(workspace / "journal.git");
  impl->read_only = true;
  if (!std::filesystem::exists(impl->path))
    return fail("file_not_found", fmt::format("there is no journal at {}: is {} a workspace?",
                                              impl->path.string(), workspace.string()));
  BITLOOP_TRY(impl->lease());
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

Result<std::string> Journal::create_session(std::string_view id, const Event& event) {
  if (impl_->read_only) return fail("journal_read_only", "this journal was opened to be read");
  BITLOOP_ASSIGN(branch, branch_of(id));
  const std::lock_guard lock(impl_->mutex_of(id));
  BITLOOP_ASSIGN(reference, impl_->lock_branch(branch));
  const auto there = head(id);
  if (there) return fail("session_exists", fmt::format("there is a session {} already", id));
  if (there.error().code != "unknown_session") return std::unexpected(there.error());
  const ObjectWriter writer(impl_->spare, impl_->deflater, impl_->path);
  BITLOOP_ASSIGN(written, write_commit(writer, event, std::nullopt));
  BITLOOP_ASSIGN(commit, impl_->publish(branch, writer, written, reference));
  impl_->show_in_head(branch);
  return commit;
}

Result<std::string> Journal::append(std::string_view session, const Event& event,
                                    std::string_view expected_head) {
  if (impl_->read_only) return fail("journal_read_only", "this journal was opened to be read");
  BITLOOP_ASSIGN(branch, branch_of(session));
  const std::lock_guard lock(impl_->mutex_of(session));
  BITLOOP_ASSIGN(reference, impl_->lock_branch(branch));
  // From here to publish() nobody else can move the branch: git, too, takes the lock file first.
  const auto read = [&]() -> Result<Parent> {
    // Given back before the disk is waited for: few repositories serve many sessions.
    BITLOOP_ASSIGN(repository, impl_->lease());
    BITLOOP_ASSIGN(head, read_head(repository.get(), session));
    if (!expected_head.empty() && to_hex(head) != expected_head)
      return fail("journal_conflict", fmt::format("session {} was changed meanwhile: read it again "
                                                  "and repeat the request",
                                                  session));
    return read_parent(repository.get(), head);
  };
  BITLOOP_ASSIGN(parent, read());
  const ObjectWriter writer(impl_->spare, impl_->deflater, impl_->path);
  BITLOOP_ASSIGN(written, write_commit(writer, event, parent));
  return impl_->publish(branch, writer, written, reference);
}

Result<std::string> Journal::head(std::string_view session) const {
  BITLOOP_ASSIGN(repository, impl_->lease());
  BITLOOP_ASSIGN(id, read_head(repository.get(), session));
  return to_hex(id);
}

Result<std::vector<std::string>> Journal::sessions() const {
  BITLOOP_ASSIGN(repository, impl_->lease());
  git_reference_iterator* raw = nullptr;
  const std::string pattern = std::string(kBranchPrefix) + "*";
  if (const int code = git_reference_iterator_glob_new(&raw, repository.get(), pattern.c_str());
      code < 0)
    return std::unexpected(git_error(code, "listing the sessions"));
  GitReferenceIterator iterator(raw);
  std::vector<std::string> names;
  const char* name = nullptr;
  int code = 0;
  while ((code = git_reference_next_name(&name, raw)) == 0) {
    std::string id(std::string_view(name).substr(kBranchPrefix.size()));
    if (branch_of(id)) names.push_back(std::move(id));
  }
  if (code != GIT_ITEROVER) return std::unexpected(git_error(code, "listing the sessions"));
  std::ranges::sort(names);
  return names;
}

Result<std::vector<Commit>> Journal::history(std::string_view session) const {
  BITLOOP_ASSIGN(repository, impl_->lease());
  BITLOOP_ASSIGN(id, read_head(repository.get(), session));
  std::vector<Commit> events;
  while (true) {
    BITLOOP_ASSIGN(commit, lookup_commit(repository.get(), id));
    events.push_back(describe(commit.get()));
    if (git_commit_parentcount(commit.get()) == 0) break;
    id = *git_commit_parent_id(commit.get(), 0);
  }
  std::ranges::reverse(events);
  return events;
}

Result<Commit> Journal::event(std::string_view commit) const {
  git_oid id;
  if (!from_hex(commit, id)) return unknown_commit(commit);
  BITLOOP_ASSIGN(repository, impl_->lease());
  BITLOOP_ASSIGN(found, lookup_commit(repository.get(), id));
  return describe(found.get());
}

Result<Snapshot> Journal::read(std::string_view commit) const {
  git_oid id;
  if (!from_hex(commit, id)) return unknown_commit(commit);
  BITLOOP_ASSIGN(repository, impl_->lease());
  git_commit* raw_commit = nullptr;
  const int code = git_commit_lookup(&raw_commit, repository.get(), &id);
  const GitCommit owner(raw_commit);
  if (code == GIT_ENOTFOUND) return unknown_commit(commit);
  if (code < 0) return std::unexpected(git_error(code, "reading a commit"));
  git_tree* raw_tree = nullptr;
  if (const int failed = git_commit_tree(&raw_tree, raw_commit); failed < 0)
    return std::unexpected(git_error(failed, "reading a tree"));
  const GitTree tree(raw_tree);
  BITLOOP_ASSIGN(candidate, read_blob(repository.get(), raw_tree, kCandidateFile));
  BITLOOP_ASSIGN(session_json, read_blob(repository.get(), raw_tree, kSessionFile));
  return Snapshot{std::move(candidate), std::move(session_json)};
}

Result<Commit> Journal::find(std::string_view session, std::string_view id) const {
  BITLOOP_ASSIGN(events, history(session));
  if (id.size() < kSmallestPrefix) return unknown_commit(id);
  std::string wanted(id);
  for (char& c : wanted)
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  const Commit* found = nullptr;
  for (const Commit& event : events) {
    if (!event.id.starts_with(wanted)) continue;
    if (found)
      return fail("ambiguous_commit",
                  fmt::format("several commits of {} begin with {}: give more digits", session,
                              single_line(id)));
    found = &event;
  }
  if (!found) return unknown_commit(id);
  return *found;
}

Result<Commit> Journal::find(std::string_view id) const {
  // git reads an odd digit at the end, too.
  const auto is_digit = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  git_oid prefix;
  if (id.size() < kSmallestPrefix || id.size() > GIT_OID_HEXSZ ||
      !std::ranges::all_of(id, is_digit) || git_oid_fromstrn(&prefix, id.data(), id.size()) != 0)
    return unknown_commit(id);
  BITLOOP_ASSIGN(repository, impl_->lease());
  git_commit* raw = nullptr;
  const int code = git_commit_lookup_prefix(&raw, repository.get(), &prefix, id.size());
  const GitCommit found(raw);
  if (code == GIT_ENOTFOUND) return unknown_commit(id);
  if (code == GIT_EAMBIGUOUS)
    return fail("ambiguous_commit", fmt::format("several objects of the journal begin with {}: "
                                                "give more digits",
                                                id));
  if (code < 0) return std::unexpected(git_error(code, "looking for a commit"));
  return describe(raw);
}

void Journal::forget_what_was_read() const { impl_->empty_shelf(); }

const std::filesystem::path& Journal::path() const { return impl_->path; }

}  // namespace bitloop::journal
