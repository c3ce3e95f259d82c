#include "harness/data/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>

#include "tests/support/scratch_folder.h"

namespace bitloop::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Documents : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& content) {
    const auto path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  static std::string gzip(const std::string& plain) {
    z_stream stream{};
    EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string packed(::deflateBound(&stream, plain.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
    stream.avail_in = static_cast<uInt>(plain.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
    packed.resize(stream.total_out);
    ::deflateEnd(&stream);
    return packed;
  }
  static std::string zstd(const std::string& plain) {
    std::string packed(::ZSTD_compressBound(plain.size()), '\0');
    packed.resize(::ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 3));
    return packed;
  }
  // All documents of a file, or the error as the last.
  std::vector<std::string> read(const std::filesystem::path& path, const char* field = "text") {
    auto reader = DocumentReader::open(path, field);
    EXPECT_TRUE(reader) << reader.error().message;
    std::vector<std::string> documents;
    while (true) {
      auto next = reader->next();
      if (!next) {
        EXPECT_EQ(next.error().code, "bad_document");
        documents.push_back(next.error().message);
        return documents;
      }
      if (!*next) return documents;
      documents.push_back(**next);
    }
  }

  test_support::ScratchFolder folder_;
};

TEST_F(Documents, AFileOfTextIsOneAsItIs) {
  EXPECT_THAT(read(write("a.txt", "\n two\nlines \n\n")), ElementsAre("\n two\nlines \n\n"));
  EXPECT_THAT(read(write("b.txt", "")), IsEmpty());
}

TEST_F(Documents, EndOfTextSeparates) {
  EXPECT_THAT(read(write("a.txt", "one\n<|endoftext|>\n\n two \r\n<|endoftext|>\n<|endoftext|>x")),
              ElementsAre("one", " two ", "x"));
  EXPECT_THAT(read(write("b.txt", "<|endoftext|>one\n<|endoftext|>")), ElementsAre("one"));
  EXPECT_THAT(read(write("c.txt", "one\n<|endoftext|>")), ElementsAre("one"));
}

TEST_F(Documents, ASeparatorMayLieAcrossPieces) {
  for (const size_t before : {(size_t{1} << 16) - 5, (size_t{1} << 20) - 7}) {
    const std::string first(before, 'a');
    EXPECT_THAT(read(write("a.txt", first + "<|endoftext|>b")), ElementsAre(first, "b"));
  }
}

TEST_F(Documents, LinesOfJsonHaveTheTextInAMember) {
  const std::string lines =
      "{\"text\": \"a\\nb \\u00fc\", \"id\": 1}\n\n{\"text\": \"\"}\r\n{\"text\": \"c\"}";
  EXPECT_THAT(read(write("a.jsonl", lines)), ElementsAre("a\nb ü", "c"));
  EXPECT_THAT(read(write("b.jsonl", "{\"body\": \"x\"}\n"), "body"), ElementsAre("x"));
}

TEST_F(Documents, CompressedFilesAreTheSame) {
  std::string lines;
  for (int i = 0; i < 60'000; ++i)
    lines += "{\"text\": \"document " + std::to_string(i * 7919) + "\"}\n";
  const auto plain = read(write("a.jsonl", lines));
  ASSERT_EQ(plain.size(), 60'000U);
  EXPECT_EQ(read(write("b.jsonl.gz", gzip(lines))), plain);
  EXPECT_EQ(read(write("c.jsonl.zst", zstd(lines))), plain);
  // Several compressed texts in a row are one.
  const std::string one = "{\"text\": \"one\"}\n", two = "{\"text\": \"two\"}\n";
  EXPECT_THAT(read(write("d.jsonl.gz", gzip(one) + gzip(two))), ElementsAre("one", "two"));
  EXPECT_THAT(read(write("e.jsonl.zst", zstd(one) + zstd(two))), ElementsAre("one", "two"));
}

TEST_F(Documents, WhatIsWrongIsNamedWithItsLine) {
  const std::string good = "{\"text\": \"a\"}\n";
  EXPECT_THAT(read(write("a.jsonl", good + "{\"text\": \n")).back(),
              HasSubstr("a.jsonl:2: not a JSON object"));
  EXPECT_THAT(read(write("b.jsonl", good + good + "[1]\n")).back(), HasSubstr("b.jsonl:3: "));
  EXPECT_THAT(read(write("c.jsonl", "{\"body\": \"a\"}\n")).back(),
              HasSubstr("c.jsonl:1: no text in the member 'text'; --field"));
  EXPECT_THAT(read(write("d.jsonl", "{\"text\": 7}\n")).back(), HasSubstr("no text in the member"));
  EXPECT_THAT(read(write("e.jsonl", "{\"text\": \"\xff\"}\n")).back(), HasSubstr("UTF-8"));
  const std::string packed = gzip(std::string(100'000, 'x') + good), zpacked = zstd(good);
  EXPECT_THAT(read(write("f.txt.gz", packed.substr(0, packed.size() - 20))).back(),
              HasSubstr("cut off"));
  EXPECT_THAT(read(write("g.txt.zst", zpacked.substr(0, zpacked.size() - 3))).back(),
              HasSubstr("cut off"));
  EXPECT_THAT(read(write("h.txt.gz", "no gzip at all")).back(), HasSubstr("damaged"));
  EXPECT_THAT(read(write("i.txt.zst", "no zstd at all, surely not")).back(), HasSubstr("damaged"));
}

TEST_F(Documents, FoldersAreWalkedInOrder) {
  for (const char* name : {"b/2.txt", "b/1.jsonl.gz", "a.txt", "notes.md", "c.txt.zst"})
    write(name, "x");
  const auto sources = list_sources({folder_ / "b" / "2.txt", folder_.path()});
  ASSERT_TRUE(sources) << sources.error().message;
  std::vector<std::string> names;
  for (const Source& source : *sources)
    names.push_back(std::filesystem::relative(source.path, folder_.path()).string());
  EXPECT_THAT(names, ElementsAre("b/2.txt", "a.txt", "b/1.jsonl.gz", "b/2.txt", "c.txt.zst"));
  EXPECT_EQ(sources->front().bytes, 1U);
  EXPECT_EQ(list_sources({folder_ / "none"}).error().code, "file_not_found");
  EXPECT_EQ(list_sources({folder_ / "notes.md"}).error().code, "wrong_usage");
  std::filesystem::create_directories(folder_ / "empty");
  EXPECT_THAT(list_sources({folder_ / "empty"}).error().message, HasSubstr("no .txt or .jsonl"));
}

}  // namespace
}  // namespace bitloop::data
