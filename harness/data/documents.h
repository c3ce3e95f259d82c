// Documents out of the files that people have: .txt and .jsonl, also compressed by gzip (.gz) or
// Zstandard (.zst). Read in a stream: memory holds one document, whatever the file's size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::data {

constexpr size_t kMaxDocumentBytes = size_t{256} << 20;

struct Source {
  std::filesystem::path path;
  uint64_t bytes = 0;       // as it is stored
  int64_t modified_ns = 0;  // since 1970
};

// The files that are given, and those of these kinds in the folders that are given and below, which
// come in the order of their paths. Errors: "file_not_found", "wrong_usage" (a file of another
// kind, a folder without any).
Result<std::vector<Source>> list_sources(const std::vector<std::filesystem::path>& given);

// One file's documents, in their order. Of .jsonl each line is one: an object whose member `field`
// is the text. Of .txt the whole file is one, or where it has <|endoftext|>, what stands between,
// without the line ends around. Empty ones are passed over.
class DocumentReader {
 public:
  // Errors: "file_not_found", "io_error".
  static Result<DocumentReader> open(const std::filesystem::path& path, std::string field);
  DocumentReader(DocumentReader&&) noexcept;
  ~DocumentReader();

  // The next one; nothing at the end. Errors: "bad_document" (which file and line, and what is
  // wrong there).
  Result<std::optional<std::string>> next();
  // How much of the stored file was read.
  uint64_t bytes_read() const;

 private:
  struct Impl;
  explicit DocumentReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitloop::data
