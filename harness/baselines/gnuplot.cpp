// Runs gnuplot as a child process.
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>

#include "harness/base/fd.h"
#include "harness/base/temporary_folder.h"
#include "harness/base/text.h"
#include "harness/baselines/plot.h"

namespace bitloop::baselines {
namespace {

std::string last_line(const std::string& text) {
  std::string last;
  for (const std::string& line : split_lines(text))
    if (!single_line(line).empty()) last = single_line(line);
  return last.substr(0, 200);
}

// Runs the program with the folder's files as its streams; its exit status. Errors:
// "gnuplot_missing", "io_error".
Result<int> run_gnuplot(const std::filesystem::path& folder) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const std::array<std::string, 3> streams = {folder / "script", folder / "svg", folder / "errors"};
  ::posix_spawn_file_actions_addopen(&actions, 0, streams[0].c_str(), O_RDONLY, 0);
  for (int stream = 1; stream < 3; ++stream)
    ::posix_spawn_file_actions_addopen(&actions, stream,
                                       streams[static_cast<size_t>(stream)].c_str(),
                                       O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::string program = "gnuplot";
  std::string defaults = "-d";  // nobody's start-up files
  std::array<char*, 3> arguments = {program.data(), defaults.data(), nullptr};
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, program.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT)
    return fail("gnuplot_missing",
                "The plot was not drawn: gnuplot is missing; install Debian's gnuplot-nox "
                "(scripts/setup does) and run the same command again (bitloop baseline: with "
                "--report).");
  if (error != 0) return std::unexpected(errno_error("start gnuplot", error));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return std::unexpected(errno_error("wait for gnuplot", errno));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

Status draw_plot(const Summary& summary, const std::filesystem::path& path) {
  BITLOOP_ASSIGN(script, plot_script(summary));
  std::error_code no_folder;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(no_folder);
  if (no_folder) return std::unexpected(errno_error("the temporary folder", no_folder.value()));
  BITLOOP_ASSIGN(folder, TemporaryFolder::make(parent, "bitloop-plot-"));
  BITLOOP_TRY(write_file_atomic(folder.path() / "script", script));
  BITLOOP_ASSIGN(code, run_gnuplot(folder.path()));
  const std::string errors = read_file(folder.path() / "errors").value_or("");
  BITLOOP_ASSIGN(svg, read_file(folder.path() / "svg"));
  if (code != 0 || svg.find("</svg>") == std::string::npos)
    return fail("gnuplot_failed",
                fmt::format("The plot was not drawn: gnuplot ended with {} ({}).", code,
                            errors.empty() ? "and said nothing" : last_line(errors)));
  return write_file_atomic(path, svg);
}

}  // namespace bitloop::baselines
