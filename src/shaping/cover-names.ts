import { UNIVERSITIES } from './university-names.ts'

/**
 * The names that covers ask: complete pages of popular sites, one per line. The site comes first,
 * then the hosts from which its page loads content. People chose them: very many people in many
 * countries ask these names every day. No name is about health, faith, politics, financial need or
 * adult matters, no filter is known to refuse one, and none identifies a person or a device. The
 * list is the same for all users, and never contains names that clients asked.
 */
const PAGES = `
www.wikipedia.org en.wikipedia.org upload.wikimedia.org meta.wikimedia.org login.wikimedia.org
de.wikipedia.org upload.wikimedia.org meta.wikimedia.org intake-analytics.wikimedia.org
fr.wikipedia.org upload.wikimedia.org meta.wikimedia.org
www.google.com www.gstatic.com fonts.gstatic.com apis.google.com ogs.google.com play.google.com lh3.googleusercontent.com
www.youtube.com i.ytimg.com yt3.ggpht.com fonts.googleapis.com fonts.gstatic.com www.google.com accounts.google.com jnn-pa.googleapis.com
mail.google.com ssl.gstatic.com www.gstatic.com accounts.google.com ogs.google.com play.google.com
maps.google.com maps.gstatic.com www.gstatic.com maps.googleapis.com lh3.googleusercontent.com
www.bing.com r.bing.com th.bing.com login.live.com login.microsoftonline.com assets.msn.com
duckduckgo.com links.duckduckgo.com improving.duckduckgo.com external-content.duckduckgo.com
www.microsoft.com c.s-microsoft.com img-prod-cms-rt-microsoft-com.akamaized.net js.monitor.azure.com mem.gfx.ms
www.office.com res.cdn.office.net login.microsoftonline.com aadcdn.msauth.net
outlook.live.com res.cdn.office.net login.live.com aadcdn.msauth.net
www.apple.com store.storeimages.cdn-apple.com securemetrics.apple.com is1-ssl.mzstatic.com
www.icloud.com cdn.apple-cloudkit.com setup.icloud.com idmsa.apple.com appleid.cdn-apple.com
www.amazon.com m.media-amazon.com images-na.ssl-images-amazon.com fls-na.amazon.com completion.amazon.com unagi.amazon.com
www.amazon.de m.media-amazon.com images-eu.ssl-images-amazon.com fls-eu.amazon.de completion.amazon.co.uk
www.amazon.co.uk m.media-amazon.com images-eu.ssl-images-amazon.com fls-eu.amazon.co.uk
www.ebay.com i.ebayimg.com ir.ebaystatic.com srv.main.ebayrtm.com pulsar.ebay.com
www.netflix.com assets.nflxext.com occ-0-2773-2774.1.nflxso.net codex.nflxext.com logs.netflix.com
www.facebook.com static.xx.fbcdn.net scontent.xx.fbcdn.net connect.facebook.net edge-chat.facebook.com
www.instagram.com static.cdninstagram.com scontent.cdninstagram.com i.instagram.com graph.instagram.com
web.whatsapp.com static.whatsapp.net mmg.whatsapp.net pps.whatsapp.net
x.com abs.twimg.com pbs.twimg.com api.x.com video.twimg.com
www.reddit.com www.redditstatic.com styles.redditmedia.com preview.redd.it i.redd.it external-preview.redd.it
www.linkedin.com static.licdn.com media.licdn.com platform.linkedin.com
www.pinterest.com i.pinimg.com s.pinimg.com v1.pinimg.com
www.tiktok.com lf16-tiktok-web.tiktokcdn-us.com p16-sign-va.tiktokcdn.com mon.tiktokv.com
open.spotify.com open.spotifycdn.com i.scdn.co encore.scdn.co api.spotify.com accounts.spotify.com
www.twitch.tv static.twitchcdn.net gql.twitch.tv assets.twitch.tv static-cdn.jtvnw.net passport.twitch.tv
discord.com cdn.discordapp.com gateway.discord.gg media.discordapp.net
github.com github.githubassets.com avatars.githubusercontent.com api.github.com collector.github.com user-images.githubusercontent.com
raw.githubusercontent.com objects.githubusercontent.com codeload.github.com
gitlab.com assets.gitlab-static.net secure.gravatar.com snowplow.trx.gitlab.net
stackoverflow.com cdn.sstatic.net i.sstatic.net ajax.googleapis.com www.gravatar.com cdn.cookielaw.org
superuser.com cdn.sstatic.net i.sstatic.net ajax.googleapis.com www.gravatar.com
news.ycombinator.com hn.algolia.com
www.npmjs.com static-production.npmjs.com registry.npmjs.org api.npmjs.org
pypi.org files.pythonhosted.org pypi-camo.freetls.fastly.net
www.python.org docs.python.org ajax.googleapis.com media.ethicalads.io
developer.mozilla.org www.mozilla.org updates.cdn.mozilla.net firefox.settings.services.mozilla.com
www.rust-lang.org doc.rust-lang.org crates.io static.crates.io
go.dev pkg.go.dev proxy.golang.org fonts.googleapis.com fonts.gstatic.com www.googletagmanager.com
www.debian.org deb.debian.org packages.debian.org security.debian.org
ubuntu.com assets.ubuntu.com archive.ubuntu.com security.ubuntu.com www.googletagmanager.com
archlinux.org wiki.archlinux.org aur.archlinux.org geo.mirror.pkgbuild.com
getfedora.org fedoraproject.org mirrors.fedoraproject.org docs.fedoraproject.org
hub.docker.com registry-1.docker.io auth.docker.io production.cloudflare.docker.com
kubernetes.io cdn.jsdelivr.net code.jquery.com fonts.googleapis.com
www.cloudflare.com static.cloudflareinsights.com performance.radar.cloudflare.com cf-assets.www.cloudflare.com
cdn.jsdelivr.net unpkg.com cdnjs.cloudflare.com
www.bbc.com static.files.bbci.co.uk ichef.bbci.co.uk nav.files.bbci.co.uk emp.bbci.co.uk sb.scorecardresearch.com
www.theguardian.com assets.guim.co.uk i.guim.co.uk ophan.theguardian.com interactive.guim.co.uk sourcepoint.theguardian.com
www.nytimes.com static01.nyt.com g1.nyt.com a.et.nytimes.com purr.nytimes.com samizdat-graphql.nytimes.com
www.washingtonpost.com www.washingtonpost.com gfx.washingtonpost.com
edition.cnn.com media.cnn.com cdn.cookielaw.org www.googletagmanager.com sb.scorecardresearch.com
www.reuters.com cloudfront-us-east-2.images.arcpublishing.com cdn.cookielaw.org graphics.thomsonreuters.com
apnews.com assets.apnews.com dims.apnews.com cdn.cookielaw.org
www.spiegel.de cdn.prod.www.spiegel.de script.ioam.de tarifrechner.heise.de
www.heise.de heise.cloudimg.io cmp.heise.de script.ioam.de
www.tagesschau.de images.tagesschau.de tagesschau.de
www.lemonde.fr img.lemde.fr assets-decodeurs.lemonde.fr cdn.lemonde.fr
elpais.com imagenes.elpais.com static.elpais.com ep00.epimg.net
www.corriere.it images2.corriereobjects.it components2.corriereobjects.it
www.aftonbladet.se images.aftonbladet-cdn.se static.aftonbladet.se
www.nrk.no gfx.nrk.no static.nrk.no psapi.nrk.no
www.asahi.com p.potaufeu.asahi.com digital.asahi.com
www.yahoo.com s.yimg.com edge-mcdn.secure.yahoo.com guce.yahoo.com geo.yahoo.com
www.yahoo.co.jp s.yimg.jp news.yahoo.co.jp logql.yahoo.co.jp
www.espn.com a.espncdn.com a1.espncdn.com secure.espncdn.com site.api.espn.com
www.imdb.com m.media-amazon.com api.graphql.imdb.com fls-na.amazon.com
www.rottentomatoes.com resizing.flixster.com images.fandango.com cdn.cookielaw.org
www.booking.com cf.bstatic.com q-xx.bstatic.com r-xx.bstatic.com
www.airbnb.com a0.muscache.com z1.muscache.cn www.googletagmanager.com
www.tripadvisor.com static.tacdn.com dynamic-media-cdn.tripadvisor.com
www.expedia.com a.travel-assets.com images.trvl-media.com forever.travel-assets.com
www.skyscanner.net js.skyscnr.com content.skyscnr.com
www.uber.com d1a3f4spazzrp4.cloudfront.net tb-static.uber.com events.uber.com
www.openstreetmap.org tile.openstreetmap.org nominatim.openstreetmap.org piwik.openstreetmap.org
weather.com s.w-x.co api.weather.com dsx.weather.com
www.accuweather.com cdn.cookielaw.org vortex.accuweather.com
www.dropbox.com cfl.dropboxstatic.com assets.dropbox.com
zoom.us st1.zoom.us st2.zoom.us us02web.zoom.us explore.zoom.us
slack.com a.slack-edge.com app.slack.com wss-primary.slack.com edgeapi.slack.com
www.notion.so www.notion.com exp.notion.so msgstore.www.notion.so
www.figma.com static.figma.com s3-alpha.figma.com
www.canva.com static.canva.com media.canva.com template.canva.com
trello.com a.trellocdn.com api.trello.com as.atlassian.com
www.atlassian.com wac-cdn.atlassian.com id.atlassian.com as.atlassian.com
www.salesforce.com a.sfdcstatic.com cdn.cookielaw.org
www.adobe.com www.adobe.com assets.adobedtm.com use.typekit.net sstats.adobe.com
wordpress.com s0.wp.com s1.wp.com stats.wp.com public-api.wordpress.com i0.wp.com
www.blogger.com www.blogblog.com resources.blogblog.com
medium.com miro.medium.com glyph.medium.com cdn-client.medium.com cdn-static-1.medium.com
www.tumblr.com assets.tumblr.com 64.media.tumblr.com px.srvcs.tumblr.com
www.quora.com qsf.cf2.quoracdn.net qph.cf2.quoracdn.net
www.ikea.com www.ikea.com web-api.ikea.com cdn.optimizely.com
www.walmart.com i5.walmartimages.com beacon.walmart.com
www.target.com assets.targetimg1.com target.scene7.com redsky.target.com
www.bestbuy.com pisces.bbystatic.com assets.bbystatic.com
www.etsy.com i.etsystatic.com v.etsystatic.com
www.zalando.de mosaic01.ztat.net img01.ztat.net
www.otto.de i.otto.de static.otto.de
www.aliexpress.com ae01.alicdn.com assets.alicdn.com g.alicdn.com
www.samsung.com images.samsung.com image-us.samsung.com assets.adobedtm.com
www.hp.com www8.hp.com ssl-product-images.www8-hp.com
www.dell.com i.dell.com afcs.dellcdn.com
www.nvidia.com images.nvidia.com assets.adobedtm.com
www.intel.com www.intel.com tms.intel.com
store.steampowered.com store.cloudflare.steamstatic.com cdn.cloudflare.steamstatic.com community.cloudflare.steamstatic.com
www.epicgames.com static-assets-prod.unrealengine.com cdn1.epicgames.com tracking.epicgames.com
www.roblox.com css.rbxcdn.com js.rbxcdn.com tr.rbxcdn.com apis.roblox.com
www.nintendo.com assets.nintendo.com cdn.cookielaw.org
www.playstation.com gmedia.playstation.com image.api.playstation.com
www.xbox.com assets.xboxservices.com store-images.s-microsoft.com
www.lego.com www.lego.com assets.lego.com identity.lego.com
www.fandom.com static.wikia.nocookie.net services.fandom.com script.wikia.nocookie.net
www.goodreads.com s.gr-assets.com images-na.ssl-images-amazon.com i.gr-assets.com
archive.org www.archive.org analytics.archive.org
www.gutenberg.org www.pglaf.org
www.nasa.gov assets.science.nasa.gov science.nasa.gov images-assets.nasa.gov
www.esa.int www.esa.int
www.nature.com media.springernature.com verify.nature.com cmp.nature.com
www.sciencedirect.com ars.els-cdn.com assets.adobedtm.com sdfestaticassets-us-east-1.sciencedirectassets.com
arxiv.org static.arxiv.org export.arxiv.org
scholar.google.com www.gstatic.com fonts.gstatic.com
translate.google.com www.gstatic.com fonts.gstatic.com ssl.gstatic.com
www.deepl.com static.deepl.com www2.deepl.com s.deepl.com
www.merriam-webster.com merriam-webster.com media.merriam-webster.com
dictionary.cambridge.org fonts.googleapis.com www.googletagmanager.com
www.speedtest.net b.cdnst.net www.googletagservices.com
www.vimeo.com i.vimeocdn.com f.vimeocdn.com player.vimeo.com
soundcloud.com a-v2.sndcdn.com i1.sndcdn.com api-v2.soundcloud.com style.sndcdn.com
www.flickr.com combo.staticflickr.com live.staticflickr.com
unsplash.com images.unsplash.com plausible.io secure.insight.unsplash.com
imgur.com s.imgur.com i.imgur.com api.imgur.com
www.allrecipes.com www.allrecipes.com imagesvc.meredithcorp.io
www.chefkoch.de img.chefkoch-cdn.de
www.fifa.com digitalhub.fifa.com cxm-api.fifa.com
www.uefa.com img.uefa.com gaming.uefa.com
www.nba.com cdn.nba.com ak-static.cms.nba.com
www.formula1.com media.formula1.com cdn.cookielaw.org
`

/**
 * The pages. Each has at least one name, in the order in which a browser asks them.
 */
export const COVER_PAGES: readonly (readonly string[])[] = PAGES.trim()
  .split('\n')
  .map((line) => [...new Set(line.split(' '))])

/**
 * Names that fewer people ask, so that a resolver often has to look them up. They make covers as
 * slow as real queries sometimes are. They are chosen like the pages: public institutions and free
 * software, and nothing that says something about the person who asks.
 */
const NAMES = `
www.mit.edu www.stanford.edu www.harvard.edu www.berkeley.edu www.caltech.edu www.princeton.edu www.yale.edu www.columbia.edu www.cornell.edu
www.uchicago.edu www.upenn.edu www.jhu.edu www.duke.edu www.northwestern.edu www.brown.edu www.dartmouth.edu www.rice.edu www.cmu.edu
www.umich.edu www.virginia.edu www.unc.edu www.gatech.edu www.utexas.edu www.illinois.edu www.wisc.edu www.washington.edu www.purdue.edu
www.osu.edu www.psu.edu www.umn.edu www.ufl.edu www.rutgers.edu www.iu.edu www.uiowa.edu www.colorado.edu www.arizona.edu www.asu.edu
www.ox.ac.uk www.cam.ac.uk www.imperial.ac.uk www.ucl.ac.uk www.ed.ac.uk www.manchester.ac.uk www.bristol.ac.uk www.gla.ac.uk www.leeds.ac.uk
www.sheffield.ac.uk www.nottingham.ac.uk www.southampton.ac.uk www.birmingham.ac.uk www.york.ac.uk www.dur.ac.uk www.exeter.ac.uk
www.tum.de www.lmu.de www.uni-heidelberg.de www.rwth-aachen.de www.kit.edu www.tu-berlin.de www.fu-berlin.de www.hu-berlin.de www.uni-hamburg.de
www.uni-bonn.de www.uni-koeln.de www.uni-freiburg.de www.uni-tuebingen.de www.uni-goettingen.de www.tu-dresden.de www.uni-leipzig.de www.uni-jena.de
www.ethz.ch www.epfl.ch www.uzh.ch www.unige.ch www.unibas.ch www.unibe.ch www.univie.ac.at www.tuwien.at www.uibk.ac.at www.uni-graz.at
www.sorbonne-universite.fr www.ens.psl.eu www.polytechnique.edu www.univ-lyon1.fr www.u-bordeaux.fr www.unistra.fr www.univ-lille.fr
www.uva.nl www.leidenuniv.nl www.tudelft.nl www.uu.nl www.rug.nl www.tue.nl www.kuleuven.be www.ugent.be www.ulb.be www.uliege.be
www.ku.dk www.dtu.dk www.au.dk www.su.se www.kth.se www.lu.se www.uu.se www.chalmers.se www.uio.no www.ntnu.no www.uib.no www.helsinki.fi
www.aalto.fi www.hi.is www.ut.ee www.lu.lv www.vu.lt www.uw.edu.pl www.uj.edu.pl www.agh.edu.pl www.cuni.cz www.cvut.cz www.muni.cz www.uniba.sk
www.elte.hu www.bme.hu www.unibuc.ro www.uni-lj.si www.unizg.hr www.bg.ac.rs www.auth.gr www.ntua.gr www.unibo.it www.uniroma1.it www.polimi.it
www.unipd.it www.unimi.it www.unito.it www.unipi.it www.ub.edu www.uab.cat www.ucm.es www.uam.es www.upm.es www.us.es www.ulisboa.pt www.up.pt
www.uc.pt www.tcd.ie www.ucd.ie www.u-tokyo.ac.jp www.kyoto-u.ac.jp www.osaka-u.ac.jp www.tohoku.ac.jp www.nagoya-u.ac.jp www.titech.ac.jp
www.snu.ac.kr www.kaist.ac.kr www.nus.edu.sg www.ntu.edu.sg www.hku.hk www.cuhk.edu.hk www.ust.hk www.ntu.edu.tw www.iitb.ac.in www.iitd.ac.in
www.iisc.ac.in www.anu.edu.au www.unimelb.edu.au www.sydney.edu.au www.unsw.edu.au www.uq.edu.au www.monash.edu www.auckland.ac.nz www.otago.ac.nz
www.utoronto.ca www.ubc.ca www.mcgill.ca www.ualberta.ca www.uwaterloo.ca www.queensu.ca www.umontreal.ca www.usp.br www.unicamp.br www.ufrj.br
www.uba.ar www.uchile.cl www.puc.cl www.unam.mx www.uniandes.edu.co www.uct.ac.za www.wits.ac.za www.sun.ac.za www.technion.ac.il www.huji.ac.il
www.loc.gov www.bl.uk www.dnb.de www.bnf.fr www.kb.nl www.kb.se www.nb.no www.onb.ac.at www.nla.gov.au www.ndl.go.jp www.europeana.eu www.dp.la
www.britishmuseum.org www.vam.ac.uk www.tate.org.uk www.nationalgallery.org.uk www.nhm.ac.uk www.sciencemuseum.org.uk www.louvre.fr
www.musee-orsay.fr www.centrepompidou.fr www.rijksmuseum.nl www.vangoghmuseum.nl www.smb.museum www.deutsches-museum.de www.pinakothek.de
www.khm.at www.museodelprado.es www.guggenheim-bilbao.eus www.uffizi.it www.metmuseum.org www.moma.org www.si.edu www.artic.edu www.getty.edu
www.sfmoma.org www.amnh.org www.fieldmuseum.org www.exploratorium.edu www.nationalmuseum.se www.nationalmuseet.dk www.tnm.jp www.mnw.art.pl
www.london.gov.uk www.paris.fr www.berlin.de www.muenchen.de www.hamburg.de www.koeln.de www.wien.gv.at www.stadt-zuerich.ch www.amsterdam.nl
www.rotterdam.nl www.bruxelles.be www.kk.dk www.stockholm.se www.oslo.kommune.no www.hel.fi www.tallinn.ee www.riga.lv www.vilnius.lt
www.um.warszawa.pl www.krakow.pl www.praha.eu www.brno.cz www.bratislava.sk www.budapest.hu www.ljubljana.si www.zagreb.hr www.comune.roma.it
www.comune.milano.it www.comune.torino.it www.barcelona.cat www.madrid.es www.lisboa.pt www.cm-porto.pt www.dublincity.ie www.edinburgh.gov.uk
www.toronto.ca www.vancouver.ca www.montreal.ca www.nyc.gov www.chicago.gov www.boston.gov www.seattle.gov www.sf.gov www.austintexas.gov
www.gnu.org www.fsf.org www.kernel.org www.freebsd.org www.openbsd.org www.netbsd.org www.gentoo.org www.slackware.com www.opensuse.org
www.alpinelinux.org www.nixos.org www.voidlinux.org www.haiku-os.org www.reactos.org www.postgresql.org www.sqlite.org www.mariadb.org
www.redis.io www.nginx.org httpd.apache.org www.haproxy.org www.varnish-cache.org www.squid-cache.org www.isc.org www.nlnetlabs.nl www.knot-dns.cz
www.powerdns.com www.openssl.org www.libressl.org www.gnutls.org www.gnupg.org www.openssh.com www.wireshark.org www.tcpdump.org nmap.org
www.vim.org neovim.io www.gimp.org www.inkscape.org www.blender.org krita.org www.audacityteam.org www.videolan.org www.ffmpeg.org obsproject.com
www.libreoffice.org www.kde.org www.gnome.org www.xfce.org www.lxqt-project.org i3wm.org www.x.org www.mesa3d.org www.qt.io www.gtk.org
www.perl.org www.ruby-lang.org www.php.net www.haskell.org www.erlang.org elixir-lang.org www.scala-lang.org kotlinlang.org www.swift.org
julialang.org www.r-project.org www.octave.org www.scilab.org www.maxima.sourceforge.net www.sagemath.org www.latex-project.org ctan.org
www.ietf.org www.rfc-editor.org www.iana.org www.icann.org www.w3.org www.unicode.org www.iso.org www.itu.int www.etsi.org www.ieee.org www.acm.org
www.usenix.org www.ripe.net www.arin.net www.apnic.net www.lacnic.net www.afrinic.net www.cern.ch www.eso.org www.embl.org www.mpg.de www.fraunhofer.de
www.helmholtz.de www.cnrs.fr www.inria.fr www.csic.es www.cnr.it www.riken.jp www.csiro.au www.nist.gov www.noaa.gov www.usgs.gov www.jpl.nasa.gov
`

/** Host names, each once. */
export const RARE_COVER_NAMES: readonly string[] = [...new Set([...NAMES.trim().split(/\s+/), ...UNIVERSITIES])]

/**
 * Domains with so many TXT records (for mail and for services) that most replies take more than one
 * block. They belong to well-known companies and universities. The size of each reply is learnt
 * when it comes.
 */
const LARGE = `
google.com microsoft.com apple.com amazon.com facebook.com cloudflare.com adobe.com salesforce.com oracle.com ibm.com cisco.com intel.com hp.com
dell.com nvidia.com sap.com vmware.com zoom.us slack.com dropbox.com atlassian.com github.com gitlab.com linkedin.com ebay.com netflix.com spotify.com
booking.com airbnb.com uber.com ikea.com walmart.com target.com samsung.com sony.com lg.com panasonic.com siemens.com bosch.com bmw.com toyota.com
ford.com nike.com adidas.com nytimes.com bbc.co.uk theguardian.com cnn.com reuters.com spiegel.de lemonde.fr yahoo.com ebay.de twilio.com docusign.com
stanford.edu mit.edu harvard.edu berkeley.edu umich.edu cornell.edu columbia.edu princeton.edu yale.edu upenn.edu duke.edu northwestern.edu uchicago.edu
washington.edu wisc.edu utexas.edu illinois.edu purdue.edu psu.edu osu.edu asu.edu arizona.edu ucla.edu ucsd.edu usc.edu nyu.edu bu.edu cmu.edu
ox.ac.uk cam.ac.uk imperial.ac.uk ucl.ac.uk ed.ac.uk manchester.ac.uk ethz.ch epfl.ch kth.se tudelft.nl kuleuven.be helsinki.fi utoronto.ca ubc.ca
mcgill.ca unimelb.edu.au sydney.edu.au anu.edu.au nasa.gov noaa.gov usgs.gov nist.gov esa.int wikipedia.org mozilla.org wordpress.com shopify.com
zendesk.com hubspot.com canva.com figma.com notion.so asana.com box.com okta.com datadoghq.com elastic.co mongodb.com autodesk.com logitech.com
philips.com nestle.com unilever.com airbus.com boeing.com ge.com honeywell.com 3m.com deere.com starbucks.com mcdonalds.com disney.com lego.com
`

/** The names with large replies, each once. */
export const LARGE_COVER_NAMES: readonly string[] = [...new Set(LARGE.trim().split(/\s+/))]
