#include "harness/journal/diff.h"

#include "harness/journal/git.h"

namespace bitloop::journal {
namespace {

using GitPatch = GitPtr<git_patch, git_patch_free>;

// Owns what libgit2 wrote into a buffer.
struct Buffer {
  git_buf buffer{};
  Buffer() = default;
  ~Buffer() { git_buf_dispose(&buffer); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

}  // namespace

Result<std::string> unified_diff(std::string_view before, std::string_view after,
                                 const std::string& path) {
  start_git();
  git_diff_options options;
  git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
  options.flags = GIT_DIFF_FORCE_TEXT;
  options.context_lines = 3;
  git_patch* raw = nullptr;
  if (const int code = git_patch_from_buffers(&raw, before.data(), before.size(), path.c_str(),
                                              after.data(), after.size(), path.c_str(), &options);
      code < 0)
    return std::unexpected(git_error(code, "comparing two texts"));
  const GitPatch patch(raw);
  if (git_patch_num_hunks(raw) == 0) return std::string();
  Buffer text;
  if (const int code = git_patch_to_buf(&text.buffer, raw); code < 0)
    return std::unexpected(git_error(code, "writing a diff"));
  const std::string_view written(text.buffer.ptr, text.buffer.size);
  const size_t start = written.find("--- ");
  return std::string(start == std::string_view::npos ? written : written.substr(start));
}

}  // namespace bitloop::journal
