#pragma once

#include <boost/filesystem.hpp>
#include <string>

namespace airlock::test {

/// A folder of a test's own, gone with it.
struct Folder {
  Folder() { boost::filesystem::create_directories(path); }
  ~Folder() {
    boost::system::error_code ignored;
    boost::filesystem::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (path / name).string();
  }
  boost::filesystem::path path = boost::filesystem::temp_directory_path() /
                                 boost::filesystem::unique_path("airlock-test-%%%%%%%%");
};

}  // namespace airlock::test
