/**
 * Names that fewer people ask for, so that a resolver often has to look them up: what covers are slow with, as real queries are now and then. Chosen like the pages:
 * public institutions and free software, nothing that says anything about who asks.
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
export const COVER_TAIL: readonly string[] = [...new Set(NAMES.trim().split(/\s+/))]
