#include "harness/data/documents.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>

#include "harness/base/fd.h"

namespace bitloop::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr std::string_view kSeparator = "<|endoftext|>";

enum class Packing { kNone, kGzip, kZstd };

struct Kind {
  bool lines = false;  // .jsonl
  Packing packing = Packing::kNone;
};

std::optional<Kind> kind_of(fs::path path) {
  Kind kind;
  if (path.extension() == ".gz") kind.packing = Packing::kGzip;
  if (path.extension() == ".zst") kind.packing = Packing::kZstd;
  if (kind.packing != Packing::kNone) path = path.stem();
  kind.lines = path.extension() == ".jsonl";
  return kind.lines || path.extension() == ".txt" ? std::optional(kind) : std::nullopt;
}

// The plain bytes of a file, as they come.
class PlainBytes {
 public:
  PlainBytes(UniqueFd file, Packing packing) : file_(std::move(file)), packing_(packing) {
    if (packing_ == Packing::kGzip) {
      // 32: the kind of header is told from its bytes; 15: the largest window.
      inflating_ = ::inflateInit2(&zlib_, 15 + 32) == Z_OK;
    } else if (packing_ == Packing::kZstd) {
      zstd_.reset(::ZSTD_createDStream());
    }
  }
  ~PlainBytes() {
    if (inflating_) ::inflateEnd(&zlib_);
  }
  PlainBytes(const PlainBytes&) = delete;
  PlainBytes& operator=(const PlainBytes&) = delete;

  // Appends some bytes to `out`; false at the end. Error: what is wrong, as a phrase.
  Result<bool> read(std::string& out) {
    while (true) {
      if (begin_ == end_ && !at_end_) BITLOOP_TRY(fill());
      if (packing_ == Packing::kNone) {
        if (at_end_) return false;
        out.append(stored_.data(), end_);
        begin_ = end_;
        return true;
      }
      const size_t before = out.size();
      out.resize(before + kPieceBytes);
      auto made = packing_ == Packing::kGzip ? inflate(out.data() + before)
                                             : decompress(out.data() + before);
      out.resize(before + made.value_or(0));
      if (!made) return std::unexpected(made.error());
      if (*made > 0) return true;
      if (at_end_ && begin_ == end_) {
        if (!whole_) return fail("bad_document", "the compressed file is cut off");
        return false;
      }
    }
  }
  uint64_t bytes_read() const { return total_; }

 private:
  Status fill() {
    ssize_t got = 0;
    do {
      got = ::read(file_.get(), stored_.data(), stored_.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) return fail("io_error", errno_error("reading", errno).message);
    begin_ = 0;
    end_ = static_cast<size_t>(got);
    at_end_ = got == 0;
    total_ += end_;
    return {};
  }

  // How many bytes were made. Members of a gzip file that follow each other are one text.
  Result<size_t> inflate(char* to) {
    if (begin_ == end_) return size_t{0};
    if (whole_ && ::inflateReset(&zlib_) != Z_OK) return bad_packing();
    whole_ = false;
    zlib_.next_in = reinterpret_cast<Bytef*>(stored_.data() + begin_);
    zlib_.avail_in = static_cast<uInt>(end_ - begin_);
    zlib_.next_out = reinterpret_cast<Bytef*>(to);
    zlib_.avail_out = kPieceBytes;
    const int code = ::inflate(&zlib_, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) return bad_packing();
    begin_ = end_ - zlib_.avail_in;
    whole_ = code == Z_STREAM_END;
    return kPieceBytes - zlib_.avail_out;
  }

  Result<size_t> decompress(char* to) {
    ZSTD_inBuffer in{stored_.data(), end_, begin_};
    ZSTD_outBuffer out{to, kPieceBytes, 0};
    const size_t left = ::ZSTD_decompressStream(zstd_.get(), &out, &in);
    if (::ZSTD_isError(left) != 0) return bad_packing();
    if (in.pos > begin_ || out.pos > 0) whole_ = left == 0;
    begin_ = in.pos;
    return out.pos;
  }

  static std::unexpected<Error> bad_packing() {
    return fail("bad_document", "the compressed file is damaged");
  }

  struct FreeZstd {
    void operator()(ZSTD_DStream* stream) const { ::ZSTD_freeDStream(stream); }
  };

  UniqueFd file_;
  const Packing packing_;
  std::array<char, size_t{1} << 16> stored_;
  size_t begin_ = 0, end_ = 0;  // of what is in stored_ and was not used
  bool at_end_ = false;
  bool whole_ = true;  // a compressed stream has ended here, or none has begun
  uint64_t total_ = 0;
  z_stream zlib_{};
  bool inflating_ = false;
  std::unique_ptr<ZSTD_DStream, FreeZstd> zstd_;
};

Result<Source> source_of(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::unexpected(errno_error(path.string(), errno));
  return Source{path, static_cast<uint64_t>(info.st_size),
                int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

std::string_view without_line_ends(std::string_view text) {
  constexpr std::string_view kEnds = "\r\n";
  const size_t begin = text.find_first_not_of(kEnds);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kEnds) + 1 - begin);
}

}  // namespace

Result<std::vector<Source>> list_sources(const std::vector<fs::path>& given) {
  std::vector<Source> sources;
  for (const fs::path& path : given) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      BITLOOP_ASSIGN(source, source_of(path));
      if (!kind_of(path))
        return fail("wrong_usage",
                    fmt::format("{}: not a .txt or .jsonl file, nor one compressed as .gz or .zst",
                                path.string()));
      sources.push_back(std::move(source));
      continue;
    }
    std::vector<fs::path> found;
    for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end;
         entry.increment(error))
      if (std::error_code ignored; entry->is_regular_file(ignored) && kind_of(entry->path()))
        found.push_back(entry->path());
    if (error) return fail("io_error", fmt::format("{}: {}", path.string(), error.message()));
    if (found.empty())
      return fail("wrong_usage",
                  fmt::format("{}: no .txt or .jsonl file there (also .gz, .zst)", path.string()));
    std::ranges::sort(found);
    for (const fs::path& file : found) {
      BITLOOP_ASSIGN(source, source_of(file));
      sources.push_back(std::move(source));
    }
  }
  return sources;
}

struct DocumentReader::Impl {
  Impl(fs::path file, Kind of, std::string member, UniqueFd descriptor)
      : path(std::move(file)),
        kind(of),
        field(std::move(member)),
        bytes(std::move(descriptor), of.packing) {}

  std::unexpected<Error> wrong(const std::string& what) const {
    return fail("bad_document", kind.lines && line > 0
                                    ? fmt::format("{}:{}: {}", path.string(), line, what)
                                    : fmt::format("{}: {}", path.string(), what));
  }

  // The text up to the next separator, or to the end; nothing after that.
  Result<std::optional<std::string>> take_until(std::string_view separator) {
    size_t looked = begin;  // no separator begins before
    while (true) {
      const size_t found = held.find(separator, looked);
      if (found != std::string::npos) {
        std::string taken = held.substr(begin, found - begin);
        begin = found + separator.size();
        return taken;
      }
      if (ended) {
        if (begin == held.size()) return std::nullopt;
        std::string taken = held.substr(begin);
        begin = held.size();
        return taken;
      }
      if (held.size() - begin > kMaxDocumentBytes)
        return wrong(
            fmt::format("a document of more than {} MiB; {}", kMaxDocumentBytes >> 20,
                        kind.lines ? "is it JSON lines?" : "put <|endoftext|> between documents"));
      held.erase(0, begin);
      begin = 0;
      looked = held.size() - std::min(held.size(), separator.size() - 1);
      const auto more = bytes.read(held);
      if (!more) return wrong(more.error().message);
      ended = !*more;
    }
  }

  Result<std::string> text_of_line(const std::string& text) const {
    const auto document = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!document.is_object()) return wrong("not a JSON object in UTF-8; each line must be one");
    const auto member = document.find(field);
    if (member == document.end() || !member->is_string())
      return wrong(
          fmt::format("no text in the member '{}'; --field names the one that has it", field));
    return member->get<std::string>();
  }

  const fs::path path;
  const Kind kind;
  const std::string field;
  PlainBytes bytes;
  std::string held;
  size_t begin = 0;  // of what was not taken yet
  bool ended = false;
  int64_t line = 0;
};

DocumentReader::DocumentReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;
DocumentReader::~DocumentReader() = default;

Result<DocumentReader> DocumentReader::open(const fs::path& path, std::string field) {
  const auto kind = kind_of(path);
  if (!kind) return fail("wrong_usage", fmt::format("{}: a file of another kind", path.string()));
  BITLOOP_ASSIGN(file, open_file(path, O_RDONLY));
  return DocumentReader(std::make_unique<Impl>(path, *kind, std::move(field), std::move(file)));
}

Result<std::optional<std::string>> DocumentReader::next() {
  Impl& impl = *impl_;
  while (true) {
    BITLOOP_ASSIGN(taken, impl.take_until(impl.kind.lines ? "\n" : kSeparator));
    if (!taken) return std::nullopt;
    ++impl.line;
    if (impl.kind.lines) {
      if (taken->find_first_not_of(" \t\r") == std::string::npos) continue;
      BITLOOP_ASSIGN(text, impl.text_of_line(*taken));
      if (!text.empty()) return text;
      continue;
    }
    // A file without separators is taken as it is.
    const bool alone = impl.line == 1 && impl.ended && impl.begin == impl.held.size() &&
                       !impl.held.ends_with(kSeparator);
    if (alone && !taken->empty()) return taken;
    if (const std::string_view text = without_line_ends(*taken); !text.empty())
      return std::string(text);
  }
}

uint64_t DocumentReader::bytes_read() const { return impl_->bytes.bytes_read(); }

}  // namespace bitloop::data
