#include "daemon/fetch/unpack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>

#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <iterator>

#include "fusefs/boundary/fd.hpp"

using namespace airlock;
using namespace airlock::fetch;
namespace fs = boost::filesystem;

namespace {

struct Entry {
  std::string name;
  unsigned type = AE_IFREG;
  std::string content;  ///< of a link: its target
  unsigned mode = 0644;
  bool hard = false;
};

/// An archive of these entries, and the empty folder that it is unpacked into.
class Archive {
 public:
  explicit Archive(const std::vector<Entry>& entries,
                   int format = ARCHIVE_FORMAT_TAR_PAX_RESTRICTED) {
    // As those who make archives mostly do; libarchive wants to know what their names are in.
    const auto utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    const auto before = ::uselocale(utf8);
    fs::create_directories(folder_ / "out");
    auto* writer = archive_write_new();
    archive_write_set_format(writer, format);
    if (format != ARCHIVE_FORMAT_ZIP) archive_write_add_filter_gzip(writer);
    archive_write_open_filename(writer, file().c_str());
    for (const auto& entry : entries) add(writer, entry);
    archive_write_free(writer);
    ::uselocale(before);
    ::freelocale(utf8);
  }
  ~Archive() { fs::remove_all(folder_); }
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  [[nodiscard]] std::string file() const { return (folder_ / "archive").string(); }
  [[nodiscard]] fs::path out() const { return folder_ / "out"; }
  [[nodiscard]] Fd opened() const { return Fd(::open(out().c_str(), O_RDONLY | O_DIRECTORY)); }
  /// Empty when it worked.
  [[nodiscard]] std::string unpacked(const UnpackLimits& limits = {}) const {
    const Fd archive(::open(file().c_str(), O_RDONLY));
    const auto done = unpack(archive.get(), opened().get(), limits);
    return done ? "" : done.error();
  }
  [[nodiscard]] std::string bytes() const {
    std::ifstream stream(file());
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  [[nodiscard]] std::string content(const std::string& name) const {
    std::ifstream stream((out() / name).string());
    return {std::istreambuf_iterator<char>(stream), {}};
  }

 private:
  static void add(archive* writer, const Entry& entry) {
    auto* header = archive_entry_new();
    archive_entry_set_pathname(header, entry.name.c_str());
    archive_entry_set_mode(header, entry.type | entry.mode);
    if (entry.hard)
      archive_entry_set_hardlink(header, entry.content.c_str());
    else if (entry.type == AE_IFLNK)
      archive_entry_set_symlink(header, entry.content.c_str());
    else
      archive_entry_set_size(header, static_cast<la_int64_t>(entry.content.size()));
    archive_write_header(writer, header);
    if (entry.type == AE_IFREG && !entry.hard)
      archive_write_data(writer, entry.content.data(), entry.content.size());
    archive_entry_free(header);
  }
  fs::path folder_ = fs::temp_directory_path() / fs::unique_path();
};

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("files, folders, symlinks and the owner's x are unpacked") {
  const Archive archive({{"top/", AE_IFDIR, "", 0755},
                         {"top/a", AE_IFREG, "x", 04755},
                         {"top/sub/b", AE_IFREG, "y"},
                         {"top/l", AE_IFLNK, "/etc/passwd"}});
  REQUIRE(archive.unpacked().empty());
  CHECK(archive.content("top/a") == "x");
  CHECK(archive.content("top/sub/b") == "y");
  CHECK(fs::read_symlink(archive.out() / "top/l") == "/etc/passwd");
  struct stat status {};
  REQUIRE(::stat((archive.out() / "top/a").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0700);
  CHECK(only_folder(archive.opened().get()).value() == "top");
}

TEST_CASE("only a single folder at the top is taken off") {
  const Archive two({{"a/x"}, {"b/x"}});
  REQUIRE(two.unpacked().empty());
  CHECK(only_folder(two.opened().get()).value().empty());
  const Archive file({{"a"}});
  REQUIRE(file.unpacked().empty());
  CHECK(only_folder(file.opened().get()).value().empty());
  const Archive empty({});
  CHECK_FALSE(only_folder(empty.opened().get()));
}

TEST_CASE("nothing leads out of the folder") {
  CHECK(says(Archive({{"a/../../b"}}).unpacked(), "leads out of the archive"));
  CHECK(says(Archive({{"/a"}}).unpacked(), "absolute name"));
  const Archive through({{"l", AE_IFLNK, "/tmp"}, {"l/escaped", AE_IFREG, "x"}});
  CHECK(says(through.unpacked(), "goes through something that is no folder"));
  const Archive over({{"l", AE_IFLNK, "/nonexistent/escaped"}, {"l", AE_IFREG, "x"}});
  REQUIRE(over.unpacked().empty());
  CHECK(fs::is_regular_file(fs::symlink_status(over.out() / "l")));
}

TEST_CASE("hard links and devices are refused") {
  CHECK(says(Archive({{"a", AE_IFREG, "x"}, {"b", AE_IFREG, "a", 0644, true}}).unpacked(),
             "hard link"));
  CHECK(says(Archive({{"a", AE_IFIFO}}).unpacked(), "neither file, folder nor symlink"));
  CHECK(says(Archive({{"a", AE_IFCHR}}).unpacked(), "neither file, folder nor symlink"));
}

TEST_CASE("limits") {
  const std::string large(100'000, 'x');
  CHECK(says(Archive({{"a", AE_IFREG, large}, {"b", AE_IFREG, large}}).unpacked({150'000}),
             "more than 150000 bytes"));
  CHECK(says(Archive({{"a"}, {"b"}, {"c"}}).unpacked({1000, 2}), "more than 2 files"));
  CHECK(says(Archive({{"a/b/c/d"}}).unpacked({1000, 10, 3}), "too deep"));
}

TEST_CASE("folders that names only imply count as those with an entry of their own do") {
  const std::vector<Entry> implied{{"a/b/c/file"}, {"a/b/d/file"}};  // 4 folders, 2 files
  CHECK(Archive(implied).unpacked({1000, 6}).empty());
  const Archive more(implied);
  CHECK(says(more.unpacked({1000, 5}), "more than 5 files, folders and links"));
  CHECK(says(Archive({{"a/b/c/d/", AE_IFDIR}}).unpacked({1000, 3}), "more than 3 files"));
  // Each once, whichever way it comes, and again for each entry that names it.
  const std::vector<Entry> named{{"a/", AE_IFDIR}, {"a/b/", AE_IFDIR}, {"a/b/file"}};
  CHECK(Archive(named).unpacked({1000, 3}).empty());
  CHECK(says(Archive({{"a/", AE_IFDIR}, {"a/", AE_IFDIR}, {"a/"}}).unpacked({1000, 2}),
             "more than 2 files"));
}

TEST_CASE("names beyond ASCII are the bytes that the archive has") {
  const std::string composed = "gr\xc3\xbc\xc3\x9f-\xe6\x97\xa5\xe6\x9c\xac";
  const std::string decomposed = "u\xcc\x88";
  const auto format =
      GENERATE(ARCHIVE_FORMAT_TAR_PAX_RESTRICTED, ARCHIVE_FORMAT_TAR_GNUTAR, ARCHIVE_FORMAT_ZIP);
  INFO(format);
  std::vector<Entry> entries{{"top/" + composed, AE_IFREG, "x"},
                             {"top/sub-" + composed + "/" + composed, AE_IFREG, "y"},
                             {"top/link", AE_IFLNK, composed}};
  const auto is_tar = format != ARCHIVE_FORMAT_ZIP;
  if (is_tar) entries.push_back({"top/" + decomposed, AE_IFREG, "z"});
  const Archive archive(entries, format);
  if (!is_tar) REQUIRE((archive.bytes().at(7) & 0x08) != 0);  // it says that they are in UTF-8
  REQUIRE(archive.unpacked().empty());
  CHECK(archive.content("top/" + composed) == "x");
  CHECK(archive.content("top/sub-" + composed + "/" + composed) == "y");
  CHECK(fs::read_symlink(archive.out() / "top/link") == composed);
  if (is_tar) CHECK(archive.content("top/" + decomposed) == "z");
}

TEST_CASE("a zip's names that are not in the character set that it says end it") {
  const Archive archive({{"top/\xc3\xbc", AE_IFREG, "x"}}, ARCHIVE_FORMAT_ZIP);
  auto bytes = archive.bytes();
  for (auto at = bytes.find('\xc3'); at != std::string::npos; at = bytes.find('\xc3', at))
    bytes[at] = '\xff';
  std::ofstream(archive.file()) << bytes;
  CHECK(says(archive.unpacked(), "not in the character set"));
}

TEST_CASE("what is no archive") {
  const Archive archive({});
  std::ofstream(archive.file()) << "<html>not found</html>";
  CHECK(says(archive.unpacked(), "no archive"));
}
