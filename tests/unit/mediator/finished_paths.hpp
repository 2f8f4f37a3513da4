#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/core/content_address.hpp"
#include "daemon/wire/messages.hpp"
#include "tests/unit/core/nar_tree.hpp"

namespace airlock::fakes {

/// A store path of one regular file with this content, as AddToStoreNar and AddMultipleToStore name
/// it, which differ in nothing else.
inline wire::AddToStoreNar described(const StoreLayout& layout, const std::string& name,
                                     const std::string& content,
                                     const std::set<StorePath>& references, bool text) {
  const auto whole = test::nar({test::Tree::File{content}});
  const auto archive = sha256(whole);
  const ContentAddress address{text ? IngestionMethod::text : IngestionMethod::recursive,
                               text ? sha256(content) : archive};
  wire::AddToStoreNar item{
      path_of(layout, name, address, {references, false}).value(), {}, false, true};
  item.info.nar_hash = archive.base16();
  item.info.nar_size = whole.size();
  item.info.references = references;
  item.info.content_address = address.print();
  return item;
}

/// One of AddMultipleToStore's, after their count.
inline void pack(wire::Writer& to, const wire::AddToStoreNar& item, const std::string& content) {
  to.path(item.path);
  wire::write_path_info(to, item.info);
  to.raw(test::nar({test::Tree::File{content}}));
}

}  // namespace airlock::fakes
