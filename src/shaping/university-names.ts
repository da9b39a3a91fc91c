/**
 * Domains of universities and colleges, by country. Their web site is at `www`. They come from
 * Hipo's public list of university domains (MIT licence). Names that refer to faith, health,
 * politics, the military, a people or a sex are left out. So are names of countries where a query
 * may endanger the person who asks. A name that no longer exists gets NXDOMAIN, which needs a
 * lookup too.
 */
const DOMAINS = `
caece.edu.ar iese.edu.ar itba.edu.ar iua.edu.ar mdp.edu.ar uade.edu.ar uader.edu.ar ub.edu.ar ubp.edu.ar ucel.edu.ar uces.edu.ar uch.edu.ar
ucine.edu.ar ucp.edu.ar ucu.edu.ar uda.edu.ar udemm.edu.ar ufasta.edu.ar uflo.edu.ar um.edu.ar umaza.edu.ar umsa.edu.ar una.edu.ar unam.edu.ar
unc.edu.ar unca.edu.ar uncoma.edu.ar uncu.edu.ar undec.edu.ar uner.edu.ar unf.edu.ar ungs.edu.ar unibo.edu.ar unicen.edu.ar unju.edu.ar unl.edu.ar
unla.edu.ar unlam.edu.ar unlar.edu.ar unlp.edu.ar unlpam.edu.ar unlu.edu.ar unlz.edu.ar unm.edu.ar unne.edu.ar unnoba.edu.ar unpa.edu.ar unq.edu.ar
unr.edu.ar unrc.edu.ar unrn.edu.ar uns.edu.ar unsa.edu.ar unse.edu.ar unsta.edu.ar unt.edu.ar untref.edu.ar unvime.edu.ar unvm.edu.ar utn.edu.ar
akbild.ac.at boku.ac.at donau-uni.ac.at fh-burgenland.at fh-hagenberg.at fh-joanneum.at fh-kaernten.ac.at fh-krems.ac.at fh-kufstein.ac.at
fh-sbg.ac.at fh-steyr.at fh-wels.at fhv.at fhw.at fhwn.ac.at htl-villach.at htl-wels.at imc-krems.ac.at ist.ac.at jku.at kfunigraz.ac.at
khs-linz.ac.at kug.ac.at mdw.ac.at moz.ac.at sbg.ac.at technikum-wien.at tugraz.at tuwien.ac.at uni-klu.ac.at unileoben.ac.at webster.ac.at
wu-wien.ac.at
acs.edu.au adelaide.edu.au amc.edu.au avondale.edu.au bhtafe.edu.au bond.edu.au canberra.edu.au cdu.edu.au cqu.edu.au csu.edu.au curtin.edu.au
deakin.edu.au ecu.edu.au flinders.edu.au griffith.edu.au holmes.edu.au hotelschool.com.au iota.edu.au jcu.edu.au latrobe.edu.au mq.edu.au
murdoch.edu.au newcastle.edu.au nt.gov.au qut.edu.au rmit.edu.au scu.edu.au swin.edu.au tafensw.edu.au torrens.edu.au une.edu.au unisa.edu.au
uow.edu.au usc.edu.au usq.edu.au utas.edu.au uts.edu.au uwa.edu.au uws.edu.au vu.edu.au westernsydney.edu.au
ecam.be ehb.be ehsal.be fpms.ac.be fsagx.ac.be ful.ac.be ha.be hogent.be howest.be hzs.be ichec.be kdg.be odisee.be thomasmore.be ua.ac.be uams.be
ufsia.ac.be uhasselt.be umh.ac.be vlekho.be vlerick.be vub.ac.be wenk.be
baraodemaua.br brazcubas.br candidomendes.br creupi.br estacio.br faap.br fecap.br fho.edu.br fic.br fua.br furb.rct-sc.br furg.br impa.br
impacta.edu.br infnet.edu.br inpg.edu.br insper.edu.br inteli.edu.br ita.br italo.br mackenzie.br maua.br newtonpaiva.br pop-to.rnp.br sp.senac.br
toledo.br ucs.tche.br uece.br uel.br uem.br uema.br uenf.br uepb.edu.br uepg.br uerj.br uern.br uesb.br uespi.br ufabc.edu.br ufac.br ufal.br ufba.br
ufc.br ufcg.edu.br ufes.br uff.br ufg.br ufgd.edu.br ufjf.br ufla.br ufma.br ufmg.br ufms.br ufmt.br ufop.br ufpa.br ufpb.br ufpe.br ufpel.tche.br
ufpi.br ufpr.br ufrgs.br ufrn.br ufrpe.br ufrrj.br ufs.br uftm.edu.br ufu.br ufv.br ufvjm.edu.br ugf.br ulbra.br unaerp.br unama.br unb.br uneb.br
unesc.rct-sc.br unesp.br ung.br unib.br unicastelo.br unifacs.br unifap.br unifenas.br unifeso.edu.br unifor.br unifran.br unig.br unigranrio.br
unijui.tche.br unimar.br unimep.br unimes.com.br unimonte.br unimontes.br unioeste.br unipe.br unipli.com.br unir.br unirio.br unisa.br unisinos.br
unit.br unitau.br uniube.br univale.br univap.br universo.br unoeste.br unp.br upe.br upf.tche.br upis.br urca.br urcamp.tche.br uri.br usc.br
utfpr.edu.br uva.br uvanet.br
acadiau.ca assumptionu.ca athabascau.ca augustana.ab.ca bcit.ca bcou.ca bdeb.qc.ca boothcollege.ca borealc.on.ca brandonu.ca brocku.ca camosun.bc.ca
cariboo.bc.ca carleton.ca ccbc.ca cnc.bc.ca cotr.bc.ca cus.ca cuslm.ca dal.ca douglas.bc.ca eciad.bc.ca etsmtl.ca fanshawec.ca gbrownc.on.ca hec.ca
humber.ca huronuc.on.ca iaf.inrs.ca kingsu.ab.ca kpu.ca kwantlen.bc.ca lakeheadu.ca langara.bc.ca laurentian.ca macewan.ca mala.bc.ca mcmaster.ca
nait.ca nic.bc.ca nipissingu.ca nlc.bc.ca nsac.ns.ca nscad.ns.ca nvit.bc.ca ocad.ca okanagan.bc.ca polymtl.ca questu.ca redeemer.ca royalroads.ca
ryerson.ca sait.ca sauder.ubc.ca selkirk.bc.ca sfu.ca torontomu.ca trentu.ca tru.ca ucalgary.ca uccb.ns.ca ucs.mun.ca ufv.ca ukings.ns.ca ulaval.ca
uleth.ca umanitoba.ca umoncton.ca unb.ca unbc.ca uoguelph.ca uoit.ca uottawa.ca upei.ca uqac.ca uqam.ca uqo.ca uquebec.ca uregina.ca usask.ca
usherb.ca uvic.ca uwindsor.ca uwinnipeg.ca uwo.ca wlu.ca yorku.ca
bfh.ch bhms.ch edufr.ch ehl.ch ffhs.ch fh-hwz.ch fhbb.ch fhnw.ch fhso.ch gbs-ge.ch gsba.ch hepl.ch hepvs.ch hes-so.ch hfh.ch hgkz.ch hslu.ch hsr.ch
insel.ch lrguas.ch ntb.ch ph-gr.ch phbern.ch phlu.ch phsz.ch phtg.ch phzg.ch phzh.ch rosey.ch supsi.ch unifr.ch unil.ch unilu.ch unine.ch usi.ch
zhaw.ch zhdk.ch zhwin.ch
uach.cl uahurtado.cl uai.cl uamericas.cl uandes.cl uantof.cl uas.cl uaysen.cl ubiobio.cl ucentral.cl ucinf.cl ucm.cl ucn.cl ucsc.cl uctem.cl ucv.cl
uda.cl udec.cl udelmar.cl udp.cl ufinis.cl ufro.cl ugm.cl ujso.cl ulagos.cl ulare.cl umag.cl umaritima.cl umayor.cl umce.cl unab.cl unap.cl uniacc.cl
unicit.cl upa.cl upacifico.cl usach.cl userena.cl ust.cl uta.cl utalca.cl utem.cl uv.cl uvipro.cl uvm.cl
autonoma.edu.co ces.edu.co cesa.edu.co colmayor.edu.co cuao.edu.co cuc.edu.co cui.edu.co cutb.edu.co eafit.edu.co ean.edu.co ecci.edu.co ecr.edu.co
eia.edu.co esap.edu.co fuac.edu.co funandi.edu.co funlam.edu.co iceit.edu.co icesi.edu.co itm.edu.co iue.edu.co lasalle.edu.co oradeauniversity.co
poligran.edu.co uac.edu.co uam.edu.co uamerica.edu.co uanarino.edu.co ucaldas.edu.co ucauca.edu.co ucc.edu.co ucentral.edu.co uceva.edu.co udca.edu.co
udea.edu.co udem.edu.co udenar.edu.co umb.edu.co unab.edu.co unad.edu.co unal.edu.co unaula.edu.co unincca.edu.co unipaz.edu.co uptc.edu.co
usaca.edu.co usta.edu.co ut.edu.co utadeo.edu.co utch.edu.co utp.edu.co
itcr.ac.cr uaca.ac.cr uca.ac.cr uci.ac.cr ucr.ac.cr uia.ac.cr una.ac.cr unam.ac.cr
czu.cz famu.cz jcu.cz mendelu.cz osu.cz praguecollege.cz slu.cz tiffinprague.cz unyp.cz upce.cz upol.cz utb.cz vsb.cz vscht.cz vsci.cz vse.cz vslib.cz
vsp.cz vstecb.cz vutbr.cz zcu.cz
akad.de asfh-berlin.de augustana.de b-tu.de ba-bautzen.de bits-iserlohn.de cas.dhbw.de cbs.de dhbw-loerrach.de dhbw-mannheim.de dhbw-mosbach.de
dhbw-vs.de dhbw.de dhv-speyer.de dshs-koeln.de eba-muenchen.de ebs.de ecla.de ems-mainz.de eufh.de europa-uni.de fau.de fern-fh.de fernuni-hagen.de
fh-aachen.de fh-biberach.de fh-bielefeld.de fh-bingen.de fh-bochum.de fh-dortmund.de fh-eberswalde.de fh-erfurt.de fh-flensburg.de fh-frankfurt.de
fh-fresenius.de fh-furtwangen.de fh-giessen.de fh-hamburg.de fh-hannover.de fh-heidelberg.de fh-heilbronn.de fh-hildesheim.de fh-hof.de fh-isny.de
fh-jena.de fh-karlsruhe.de fh-kiel.de fh-kl.de fh-koblenz.de fh-konstanz.de fh-landshut.de fh-lausitz.de fh-lippe.de fh-luebeck.de fh-mainz.de
fh-mannheim.de fh-merseburg.de fh-muenchen.de fh-muenster.de fh-nb.de fh-nordhausen.de fh-nuernberg.de fh-nuertingen.de fh-offenburg.de fh-oow.de
fh-osnabrueck.de fh-ottersberg.de fh-pforzheim.de fh-potsdam.de fh-regensburg.de fh-reutlingen.de fh-riedlingen.de fh-rosenheim.de fh-rottenburg.de
fh-stralsund.de fh-trier.de fh-wedel.de fh-weingarten.de fh-westkueste.de fh-wiesbaden.de fh-worms.de fh-wuerzburg.de fh-zwickau.de fhdw.bib.de
fhdw.de fhnon.de fhs-mannheim.de fht-stuttgart.de fhvr.berlin.de fhw-berlin.de fhwt.de fom.de h-da.de hanseuni.de hcu-hamburg.de hdm-stuttgart.de
hff-muenchen.de hfg-gmuend.de hfk-bremen.de hfm-detmold.de hfmt-koeln.de hfph.mwn.de hhl.de hmt-leipzig.de hmtm-hannover.de hs-albsig.de hs-anhalt.de
hs-bremen.de hs-coburg.de hs-esslingen.de hs-fulda.de hs-hannover.de hs-harz.de hs-magdeburg.de hs-neu-ulm.de hs-rm.de hs-ulm.de hs-wismar.de
hs-zigr.de htw-dresden.de htw-saarland.de htwk-leipzig.de htwm.de hwg-lu.de kh-berlin.de ksbk-do.de leuphana.de merz-akademie.de mfh-iserlohn.de
mh-luebeck.de mh-trossingen.de muthesius.de nordakademie.de ostfalia.de oth-aw.de ph-erfurt.de ph-freiburg.de ph-gmuend.de ph-heidelberg.de
ph-karlsruhe.de ph-weingarten.de popakademie.de privatfh-da.de rfh-koeln.de srh-berlin.de stw.de tfh-berlin.de tfh-bochum.de tfh-wildau.de th-deg.de
th-koeln.de thi.de thm.de thu.de tiho-hannover.de tu-chemnitz.de tu-clausthal.de tu-cottbus.de tu-darmstadt.de tu-dortmund.de tu-freiberg.de
tu-ilmenau.de tuhh.de udk-berlin.de uni-augsburg.de uni-bamberg.de uni-bayreuth.de uni-bielefeld.de uni-bremen.de uni-erfurt.de uni-flensburg.de
uni-frankfurt.de uni-giessen.de uni-hannover.de uni-hohenheim.de uni-kassel.de uni-kl.de uni-konstanz.de uni-lueneburg.de uni-magdeburg.de
uni-mainz.de uni-mannheim.de uni-marburg.de uni-muenster.de uni-paderborn.de uni-passau.de uni-potsdam.de uni-rostock.de uni-saarland.de uni-siegen.de
uni-speyer.de uni-trier.de uni-ulm.de uni-vechta.de uni-weimar.de uni-wh.de w-hs.de
a-aarhus.dk ah.dk ats.dk auc.dk cbs.dk db.dk ddea.dk dkdm.dk dlh.dk dpu.dk hha.dk hhs.dk iha.dk ihk.dk itu.dk karch.dk kunstakademiet.dk musik-kons.dk
ou.dk ruc.dk sdu.dk tietgen.dk
epn.edu.ec espe.edu.ec uct.edu.ec ug.edu.ec uisrael.ec unl.edu.ec ups.edu.ec uta.edu.ec utb.edu.ec utc.edu.ec ute.edu.ec utm.edu.ec utn.edu.ec
aada.edu aamu.edu aauni.edu acofi.edu actx.edu ags.edu aii.edu alamo.edu alaska.edu alasu.edu albany.edu albion.edu alcorn.edu alfred.edu alleg.edu
alma.edu anc.edu apsu.edu apu.edu apus.edu arbor.edu asa.edu aspen.edu astate.edu asub.edu asumh.edu asun.edu atc.edu athens.edu atu.edu auburn.edu
auc.edu augie.edu aum.edu aurora.edu avc.edu avila.edu babson.edu baker.edu bakeru.edu bard.edu barry.edu bastyr.edu bates.edu baylor.edu bc.edu
beloit.edu berea.edu bgsu.edu biola.edu bju.edu blinn.edu bloomu.edu brenau.edu bryant.edu bsc.edu bsu.edu bu.edu butler.edu butte.edu bvu.edu bw.edu
carlow.edu carver.edu case.edu cau.edu ccc.edu cccd.edu cccnj.edu ccis.edu ccm.edu ccsu.edu cctech.edu cecil.edu centre.edu ceram.edu ceu.edu cgs.edu
cgu.edu cisco.edu cityu.edu clark.edu clarke.edu clarku.edu clinch.edu cmich.edu cn.edu cnr.edu coa.edu cod.edu coe.edu cofc.edu coker.edu colby.edu
colum.edu com.edu cooper.edu coppin.edu cos.edu cotc.edu coto.edu cpp.edu cptc.edu csc.edu cshl.edu csi.edu csmd.edu csn.edu csub.edu csuci.edu
csulb.edu csum.edu csumb.edu csun.edu csus.edu ct.edu ctcd.edu cuc.edu cuny.edu cup.edu curry.edu cvtc.edu cwc.edu cwu.edu d.umn.edu daemen.edu
dana.edu darton.edu dbq.edu dcad.edu dctc.edu deanza.edu delmar.edu delta.edu depaul.edu depauw.edu desu.edu dmu.edu doane.edu dordt.edu drake.edu
drew.edu drexel.edu drury.edu dsu.edu du.edu duq.edu dvc.edu dwc.edu eac.edu eada.edu ebs.edu ecok.edu ecpi.edu ecsu.edu ecu.edu egs.edu ehc.edu
eitc.edu eiu.edu eku.edu elms.edu elon.edu emich.edu emory.edu enmu.edu eosc.edu eou.edu erau.edu esade.edu esc-reims.edu espoch.edu essex.edu esu.edu
etown.edu etsu.edu euruni.edu evc.edu ewc.edu ewu.edu famu.edu fandm.edu fau.edu fc.edu fdu.edu ferris.edu fgcu.edu fhsu.edu fhtc.edu fisk.edu fit.edu
fmuniv.edu fontys.edu fpctx.edu fplc.edu fresno.edu fsc.edu fscj.edu fsu.edu fsw.edu furman.edu fvsu.edu fvtc.edu gac.edu gannon.edu gaston.edu
gbc.edu gbcnv.edu gc.edu gccnj.edu gcsu.edu gcu.edu geneva.edu gfc.edu gfcmsu.edu ggu.edu ghc.edu glion.edu gmi.edu gmu.edu gntc.edu goshen.edu
gpc.edu gptc.edu gram.edu gsu.edu gtc.edu gvltec.edu gvsu.edu gwu.edu harcum.edu hauniv.edu hawaii.edu hfcc.edu hgtc.edu hiram.edu hkapa.edu hksyu.edu
hm.edu hmc.edu hood.edu howard.edu hpu.edu hsc.edu hssu.edu hws.edu ias.edu icc.edu ici.edu idti.edu ie.edu iese.edu iit.edu insead.edu iona.edu
ipfw.edu isu.edu ithaca.edu iup.edu iupuc.edu iupui.edu ius.edu iusb.edu ivc.edu jalc.edu jbu.edu jccmi.edu jcjc.edu jcsu.edu jeffco.edu jewell.edu
jfku.edu jhuapl.edu jjc.edu jmu.edu johncabot.edu jones.edu jsu.edu jsums.edu ju.edu judson.edu jwu.edu kctcs.edu kean.edu keene.edu keller.edu
kent.edu kings.edu kingston.edu knox.edu ku.edu kvctc.edu kysu.edu kzoo.edu lamar.edu laney.edu lbcc.edu lbhc.edu lcsc.edu lee.edu letu.edu lfc.edu
lit.edu llu.edu loc.edu loras.edu lr.edu lrc.edu lrsc.edu lsc.edu lsco.edu lssu.edu lsu.edu lsua.edu lsue.edu lsus.edu ltu.edu lvc.edu lynn.edu
lyon.edu maine.edu manor.edu marin.edu mbc.edu mbl.edu mc.edu mcad.edu mccd.edu mci.edu mctc.edu mga.edu mica.edu miles.edu mines.edu mnsu.edu mpc.edu
mscok.edu msoe.edu mssc.edu mst.edu mstc.edu msu.edu msun.edu mtc.edu mtech.edu mtsu.edu mtu.edu mum.edu mvc.edu mwc.edu mwsc.edu mwsu.edu na.edu
nau.edu ncat.edu nccu.edu ncf.edu ncktc.edu ncsu.edu nctc.edu ndscs.edu ndsu.edu ndus.edu neit.edu neo.edu netc.edu nhc.edu nic.edu niu.edu njc.edu
njcu.edu njit.edu nku.edu nlu.edu nmc.edu nmhu.edu nmjc.edu nmsu.edu nmt.edu nmu.edu noc.edu nova.edu npc.edu nsu.edu nsula.edu nsuok.edu ntc.edu
ntcmn.edu nwfsc.edu nwktc.edu nwtc.edu nyit.edu nyu.edu ocean.edu ogi.edu ohio.edu oit.edu okcu.edu onu.edu ou.edu pace.edu paine.edu panam.edu
pbac.edu pct.edu peace.edu peru.edu phsc.edu pit.edu pitt.edu platt.edu pnc.edu pnw.edu polk.edu poly.edu pratt.edu ptc.edu pti.edu puc.edu pupr.edu
pvamu.edu rbc.edu rcbc.edu rcc.edu rctc.edu reed.edu regis.edu ric.edu rider.edu ripon.edu rit.edu riv.edu rlc.edu rmc.edu rmu.edu rmwc.edu rocky.edu
rose.edu rowan.edu rpi.edu rsu.edu rtc.edu rwu.edu sage.edu saic.edu salleurl.edu sans.edu sbc.edu sbs.edu sc.edu scad.edu sct.edu sdsmt.edu seark.edu
sek.edu selu.edu semo.edu sfasu.edu shawu.edu shc.edu ship.edu shsu.edu shu.edu sic.edu siena.edu siu.edu siue.edu skc.edu skema.edu slc.edu smith.edu
smsu.edu snhu.edu snow.edu sofia.edu sou.edu spu.edu src.edu sru.edu ssc.edu stcl.edu su.edu subr.edu suno.edu susla.edu susqu.edu suu.edu svsu.edu
swccd.edu swic.edu swri.edu swt.edu swtc.edu syr.edu tabor.edu taftu.edu tamu.edu tamuc.edu tamuk.edu tccd.edu tcl.edu tcnj.edu tctc.edu tesc.edu
tju.edu touro.edu trine.edu tsu.edu tsufl.edu ttu.edu tufts.edu tui.edu twu.edu ua.edu uab.edu uafs.edu uah.edu ualr.edu uapb.edu uark.edu uasys.edu
uat.edu ubalt.edu ubi.edu uc.edu uca.edu ucc.edu uccr.edu uccs.edu ucf.edu uci.edu ucmo.edu uco.edu uconn.edu ucop.edu ucr.edu udc.edu udel.edu
uga.edu ugf.edu uh.edu uhd.edu uic.edu uindy.edu uis.edu uiu.edu uiw.edu uj.edu uky.edu ulm.edu umass.edu umb.edu umbc.edu umd.edu umes.edu umkc.edu
uml.edu umr.edu umt.edu umuc.edu umw.edu una.edu unca.edu uncc.edu uncg.edu unco.edu une.edu unem.edu unf.edu ung.edu unh.edu uni.edu union.edu
unk.edu unl.edu unlv.edu unm.edu uno.edu unr.edu unt.edu uop.edu uor.edu up.edu upc.edu upike.edu upr.edu ups.edu uri.edu urich.edu usc.edu usca.edu
uscb.edu uscga.edu usd.edu usf.edu usi.edu usl.edu usm.edu usmma.edu usu.edu ut.edu uta.edu utah.edu utb.edu utc.edu utep.edu utica.edu utk.edu
utm.edu utpb.edu utrgv.edu uu.edu uvm.edu uvsc.edu uwc.edu uwec.edu uwf.edu uwgb.edu uwlax.edu uwm.edu uwosh.edu uwp.edu uwrf.edu uwsa.edu uwsp.edu
uww.edu uwyo.edu valpo.edu vcsu.edu vesalius.edu villanueva.edu vjc.edu vtc.edu vvc.edu watc.edu wayne.edu wc.edu wcjc.edu wcslc.edu wcsu.edu wctc.edu
wcu.edu wcupa.edu wdt.edu weber.edu wells.edu wfu.edu whoi.edu wilmu.edu wit.edu witc.edu wiu.edu wku.edu wlu.edu wm.edu wmc.edu wmich.edu wnec.edu
wnmu.edu wosc.edu wpi.edu wpunj.edu wssu.edu wsu.edu wtamu.edu wtc.edu wuacc.edu wvc.edu wwu.edu ycp.edu yhc.edu ysu.edu
deusto.es ehu.es enae.es esic.es muni.es ua.es uab.es uah.es ualm.es uax.es ub.es ubu.es uc3m.es uca.es uchceu.es uclm.es uco.es udg.es udl.es uem.es
ugr.es uhu.es ui1.es uia.es uib.es uic.es uimp.es ujaen.es uji.es ull.es ulpgc.es um.es uma.es umh.es unav.es unavarra.es uneatlantico.es uned.es
unex.es uniaam.uia.es uniara.uia.es unican.es unileon.es uniovi.es unirioja.es unizar.es unnet.es upct.es upf.es upo.es upv.es urjc.es url.es urv.es
usal.es uv.es uva.es uvic.es
amgd.eu barcelonagse.eu brexgata.eu coleurope.eu epitech.eu mruni.eu pwsz.eu wittenborg.eu
abo.fi cou.fi diak.fi evtek.fi hamk.fi hkkk.fi hut.fi joensuu.fi jyu.fi kuva.fi lamk.fi laurea.fi lut.fi metropolia.fi oamk.fi oulu.fi puv.fi ramk.fi
samk.fi scp.fi shh.fi siba.fi teak.fi tpu.fi tukkk.fi tut.fi uiah.fi uku.fi ulapland.fi uta.fi utu.fi uwasa.fi
ac-besancon.fr ac-creteil.fr ac-mayotte.fr ac-paris.fr aea.asso.fr agrosupdijon.fr aup.fr cesi.fr clermont-sb.fr cpe.fr dauphine.fr devinci.fr eap.fr
ec-lille.fr ec-lyon.fr ec-nantes.fr ece.fr eerie.fr efpg.inpg.fr efrei.fr eigsi.fr eivp-paris.fr enic.fr ens-lyon.fr ens.fr epf.fr epita.fr
esa-purpan.fr esc-bordeaux.fr esc-brest.fr esc-lille.fr esc-pau.fr esc-rouen.fr esc-toulouse.fr escem.fr escna.fr escom.fr escp.fr eseo.fr esiea.fr
esiee.fr esigelec.fr eslsca.fr esme.fr espci.fr essca.asso.fr essec.fr estp.fr eudil.fr hec.fr hei.fr iae-france.fr ifmparis.fr inseec.fr ipsa.fr
ireste.fr isab.fr isara.fr isen.fr isep.fr ismcm-cesti.fr ismra.fr iso.fr istp.fr itech.fr nancy.archi.fr sorbon.fr supbiotech.fr supco-amiens.fr
supelec.fr u-3mrs.fr u-bordeaux2.fr u-cergy.fr u-clermont1.fr u-paris10.fr u-paris2.fr u-pec.fr u-picardie.fr u-psud.fr ubfc.fr uca.fr uhb.fr
uhp-nancy.fr unicaen.fr unice.fr unilasalle.fr unilim.fr unimes.fr univ-amu.fr univ-angers.fr univ-artois.fr univ-avignon.fr univ-corse.fr
univ-evry.fr univ-jfc.fr univ-lehavre.fr univ-lemans.fr univ-lille1.fr univ-lille3.fr univ-lr.fr univ-lyon2.fr univ-lyon3.fr univ-metz.fr univ-mlv.fr
univ-montp3.fr univ-nancy2.fr univ-nantes.fr univ-orleans.fr univ-paris1.fr univ-paris13.fr univ-paris3.fr univ-paris5.fr univ-pau.fr univ-perp.fr
univ-reims.fr univ-rennes1.fr univ-rouen.fr univ-savoie.fr univ-tln.fr univ-tlse1.fr univ-tlse2.fr univ-tlse3.fr univ-tours.fr univ-ubs.fr univmed.fr
up.univ-mrs.fr ups-tlse.fr utbm.fr utc.fr utt.fr
aegean.gr agsm.gr asfa.gr aspete.gr aua.gr aueb.gr cityu.gr dei.edu.gr duth.gr eap.gr hua.gr tuc.gr unipi.gr uniwa.gr uoa.gr uoc.gr uoi.gr uom.gr
uop.gr uowm.gr upatras.gr uth.gr
algebra.hr tvz.hr unidu.hr unin.hr unios.hr unipu.hr uniri.hr unist.hr unizd.hr vern.hr zsem.hr
agr.unideb.hu andrassyuni.hu arts7.hu bdtf.hu ceu.hu duf.hu efe.hu filmacademy.hu hupe.hu jpte.hu kee.hu kodolanyi.hu lfze.hu lib.klte.hu mif.hu
nyme.hu pte.hu sze.hu szie.hu u-szeged.hu uni-corvinus.hu uni-miskolc.hu uni-nke.hu uni-pannon.hu unideb.hu
binus.ac.id dinus.ac.id ipb.ac.id ista.ac.id itats.ac.id itb.ac.id its.ac.id pasim.ac.id petra.ac.id pmbs.ac.id pnj.ac.id pnl.ac.id sgu.ac.id
stan.ac.id uad.ac.id uajy.ac.id ub.ac.id ubaya.ac.id ubm.ac.id uda.ac.id ugm.ac.id ui.ac.id ukdw.ac.id uki.ac.id um.ac.id umaha.ac.id umj.ac.id
umk.ac.id umm.ac.id ummgl.ac.id ums.ac.id umsu.ac.id umy.ac.id unair.ac.id unand.ac.id unas.ac.id uncen.ac.id undip.ac.id unej.ac.id unesa.ac.id
ung.ac.id unhas.ac.id unib.ac.id unj.ac.id unja.ac.id unm.ac.id unp.ac.id unr.ac.id unri.ac.id uns.ac.id unud.ac.id uny.ac.id up45.ac.id upr.ac.id
usi.ac.id usm.ac.id usu.ac.id ut.ac.id utp.ac.id yai.ac.id
ait.ie cit.ie dcu.ie dias.ie dit.ie dkit.ie gcd.ie gmit.ie itcarlow.ie ittralee.ie lsb.ie mtu.ie rcpi.ie ucc.ie ul.ie wit.ie
aau.ac.in aecwb.edu.in ahduni.edu.in annauniv.edu.in apsurewa.nic.in ashoka.edu.in bamu.nic.in bau.nic.in bckv.edu.in bdu.ernet.in becs.ac.in bnmu.in
braou.ac.in bsauniv.ac.in bubhopal.nic.in caluniv.ac.in cau.org.in cesbm.ac.in charusat.ac.in chitkara.edu.in cife.edu.in cihts.ac.in csauk.ac.in
cusat.ac.in cvru.ac.in davv.ac.in ddu.ac.in ddugu.edu.in dei.ac.in dibru.ernet.in du.ac.in gbpuat.ac.in ggu.ac.in gkcem.ac.in gnihm.ac.in gtu.ac.in
gu.nic.in hnbgu.ac.in iiitd.ac.in iitbbs.ac.in indusuni.ac.in ipu.ac.in iujaipur.edu.in iumizoram.edu.in iuraipur.edu.in iusikkim.edu.in jiit.ac.in
jissp.ac.in jncasr.ac.in jnkvv.nic.in jntuh.ac.in jnu.ac.in jvbi.ac.in kct.ac.in klyuniv.ac.in kslu.ac.in kud.ac.in kufos.ac.in kuvempu.ac.in lpu.in
mcu.ac.in mdsuajmer.ac.in mjpru.ac.in mlsu.ac.in msubaroda.ac.in mu.ac.in nagauniv.org.in nbu.ac.in nduat.nic.in nehu.ac.in ngu.ac.in nims.net.in
nirmauni.ac.in nit.ac.in nmu.ac.in nsut.ac.in nuv.ac.in osmania.ac.in pdeu.ac.in pdkv.ac.in pec.ac.in ptu.ac.in puchd.ac.in rmkec.ac.in rmlau.ac.in
rtu.ac.in saec.ac.in saveetha.ac.in sdau.edu.in sgu.ernet.in sharda.ac.in sjsv.nic.in skltshu.ac.in skmu.edu.in slbsrsv.ac.in spa.ac.in srmuniv.ac.in
ssn.edu.in ssus.ac.in surtech.edu.in svce.ac.in tezu.ernet.in tiet.ac.in tmv.edu.in tripurauniv.in tvuni.in uktech.ac.in uma.ac.in unigoa.ac.in
unom.ac.in uohyd.ernet.in uok.ac.in uou.ac.in upes.ac.in uptu.ac.in vit.ac.in vmou.ac.in vssut.ac.in vtu.ac.in wbuafs.nic.in
casa.unimo.it imtlucca.it iuav.unive.it iue.it iulm.it iusspavia.it jhubc.it liuc.it luiss.it naba.it poliba.it polito.it sns.it sssup.it unian.it
uniba.it unibas.it unibg.it unibs.it unibz.it unica.it unical.it unicam.it unicas.it unich.it unict.it uniecampus.it uniese.it unife.it unifg.it
unifi.it unige.it unile.it unilink.it unimc.it unime.it unimib.it unimol.it unina.it unina2.it uninsubria.it unipa.it unipg.it unipr.it unipv.it
unirc.it uniroma3.it unisa.it unisannio.it unisg.it unisi.it unisob.na.it uniss.it unistrapg.it unistrasi.it unite.it unitn.it units.it unitus.it
uniud.it uniurb.it univaq.it unive.it univr.it
aasa.ac.jp abu.ac.jp aichi-edu.ac.jp aichi-pu.ac.jp aichi-u.ac.jp aikoku-u.ac.jp aitech.ac.jp akeihou-u.ac.jp akita-u.ac.jp aomori-u.ac.jp
aomoricgu.ac.jp aoyama.ac.jp apu.ac.jp asahi-u.ac.jp ashitech.ac.jp ashiya-u.ac.jp asia-u.ac.jp asu.ac.jp atomi.ac.jp azabu-u.ac.jp beppu-u.ac.jp
bgu.ac.jp bukkyo-u.ac.jp bunkyo.ac.jp bunri-u.ac.jp cgu.ac.jp chiba-u.ac.jp chikushi.ac.jp chubu.ac.jp chukyo-u.ac.jp chuo-u.ac.jp cku.ac.jp cuc.ac.jp
daido-it.ac.jp daiichi-ue.ac.jp daion.ac.jp daishodai.ac.jp daito.ac.jp dendai.ac.jp do-johodai.ac.jp doho.ac.jp dohto.ac.jp dokkyo.ac.jp
doshisha.ac.jp edogawa-u.ac.jp ehime-u.ac.jp eichi-u.ac.jp eiyo.ac.jp eum.ac.jp ferris.ac.jp fit.ac.jp fpu.ac.jp fukui-u.ac.jp fukui-ut.ac.jp
fukuoka-u.ac.jp gakusen.ac.jp gakushuin.ac.jp gifu-u.ac.jp gunma-u.ac.jp hakuoh.ac.jp hanazono.ac.jp hannan-u.ac.jp heisei-u.ac.jp hi-tech.ac.jp
himeji-du.ac.jp hit-u.ac.jp hit.ac.jp hju.ac.jp hkg.ac.jp hokkyodai.ac.jp hokudai.ac.jp hokusei.ac.jp hosei.ac.jp hoshi.ac.jp hue.ac.jp
hyogo-dai.ac.jp hyogo-u.ac.jp ibaraki.ac.jp isenshu-u.ac.jp it-chiba.ac.jp iwakimu.ac.jp iwate-pu.ac.jp iwate-u.ac.jp jaist.ac.jp jobu.ac.jp
josai.ac.jp juen.ac.jp juntendo.ac.jp kagawa-u.ac.jp kansai-u.ac.jp kbu.ac.jp kcua.ac.jp keiho-u.ac.jp keio.ac.jp keisen.ac.jp keiwa-c.ac.jp
kgwu.ac.jp kindai.ac.jp kinjo-u.ac.jp kit.ac.jp kitakyu-u.ac.jp kitami-it.ac.jp knct.ac.jp kobe-c.ac.jp kobe-cufs.ac.jp kobe-du.ac.jp kobe-u.ac.jp
kochi-u.ac.jp kogakuin.ac.jp konan-u.ac.jp korea-u.ac.jp koshien.ac.jp koyasan-u.ac.jp kpu.ac.jp kshosen.ac.jp ksu.ac.jp ktokai-u.ac.jp kufs.ac.jp
kumagaku.ac.jp kunitachi.ac.jp kure-u.ac.jp kurume-it.ac.jp kurume-u.ac.jp kusa.ac.jp kusw.ac.jp kwansei.ac.jp kyokyo-u.ac.jp kyorin-u.ac.jp
kyoto-art.ac.jp kyoto-su.ac.jp kyukyo-u.ac.jp kyushu-id.ac.jp kyushu-u.ac.jp kyutech.ac.jp meiji.ac.jp meijo-u.ac.jp meikai.ac.jp meio-u.ac.jp
meisei-u.ac.jp mejiro.ac.jp metro-u.ac.jp mie-u.ac.jp miyakyo-u.ac.jp morioka-u.ac.jp musabi.ac.jp musashi.ac.jp myu.ac.jp n-fukushi.ac.jp
nagano.ac.jp nagaokaut.ac.jp nagoya-cu.ac.jp nagoya-ku.ac.jp nankyudai.ac.jp nanzan-u.ac.jp nara-edu.ac.jp nara-su.ac.jp nara-u.ac.jp narauc.ac.jp
naruto-u.ac.jp nbu.ac.jp ndsu.ac.jp nebuta.ac.jp ngu.ac.jp nias.ac.jp nihon-u.ac.jp niigata-u.ac.jp niigataum.ac.jp nishitech.ac.jp nisikyu-u.ac.jp
nit.ac.jp nitech.ac.jp nittai.ac.jp nodai.ac.jp nsu.ac.jp ntu.ac.jp nua.ac.jp nucba.ac.jp obirin.ac.jp ohu-u.ac.jp oist.jp oit.ac.jp oita-u.ac.jp
oka-pu.ac.jp okayama-u.ac.jp okigei.ac.jp okinawa-u.ac.jp osaka-cu.ac.jp osaka-gu.ac.jp osaka-ue.ac.jp osakac.ac.jp osakafu-u.ac.jp osu.ac.jp
otani.ac.jp otaru-uc.ac.jp otemae.ac.jp otemon.ac.jp ous.ac.jp poole.ac.jp pu-toyama.ac.jp rakuno.ac.jp reitaku-u.ac.jp ris.ac.jp ritsumei.ac.jp
rku.ac.jp ryukoku.ac.jp saga-u.ac.jp saitama-u.ac.jp sanno.ac.jp sapporo-u.ac.jp seian.ac.jp seijo.ac.jp seikei.ac.jp seinan-gu.ac.jp seisen-u.ac.jp
seiwa-u.ac.jp senshu-u.ac.jp senzoku.ac.jp setsunan.ac.jp sgu.ac.jp sguc.ac.jp shiga-u.ac.jp shikoku-u.ac.jp shimane-u.ac.jp shinshu-u.ac.jp
shizuoka.ac.jp shodai.ac.jp shonan-it.ac.jp shotoku.ac.jp showa-u.ac.jp shuchiin.ac.jp shudo-u.ac.jp shukutoku.ac.jp shumei-u.ac.jp sit.ac.jp
soai.ac.jp soka.ac.jp soken.ac.jp sophia.ac.jp spu.ac.jp ssu.ac.jp sun.ac.jp surugadai.ac.jp sut.ac.jp t-kougei.ac.jp tais.ac.jp takachiho.ac.jp
tamabi.ac.jp tamagawa.ac.jp tbgu.ac.jp tcue.ac.jp teikyo-u.ac.jp tenri-u.ac.jp termnet.co.jp teu.ac.jp tezuka-gu.ac.jp tfu.ac.jp timis.ac.jp tku.ac.jp
tmit.ac.jp toho-u.ac.jp tohomusic.ac.jp tohtech.ac.jp tohwa-u.ac.jp toin.ac.jp tokai.ac.jp tokiwa.ac.jp tokoha-u.ac.jp tosho-u.ac.jp tottori-u.ac.jp
toua-u.ac.jp toyama-u.ac.jp toyo.ac.jp toyota-ti.ac.jp tsuda.ac.jp tsukuba.ac.jp tsuru.ac.jp tsurumi-u.ac.jp tuad.ac.jp tuat.ac.jp tufs.ac.jp
tuis.ac.jp tut.ac.jp u-air.ac.jp u-aizu.ac.jp u-bunkyo.ac.jp u-gakugei.ac.jp u-keiai.ac.jp u-ryukyu.ac.jp u-tokai.ac.jp uec.ac.jp uitec.ac.jp
umds.ac.jp usp.ac.jp wakhok.ac.jp wako.ac.jp waseda.ac.jp wilmina.ac.jp yamanashi.ac.jp ygu.ac.jp zokei.ac.jp
ajou.ac.kr bu.ac.kr bufs.ac.kr cau.ac.kr cha.ac.kr chodang.ac.kr chongju.ac.kr chosun.ac.kr chugye.ac.kr cju.ac.kr cs.ac.kr daebul.ac.kr daegu.ac.kr
daejin.ac.kr daeshin.ac.kr dankook.ac.kr deu.ac.kr dgist.ac.kr dhu.ac.kr dju.ac.kr donga.ac.kr dongeui.ac.kr dongguk.ac.kr dongseo.ac.kr dufs.ac.kr
dytc.ac.kr dyu.ac.kr eulji.ac.kr ewha.ac.kr gachon.ac.kr ggu.ac.kr gist.ac.kr halla.ac.kr hallym.ac.kr hanlyo.ac.kr hannam.ac.kr hansei.ac.kr
hanseo.ac.kr hanshin.ac.kr hansung.ac.kr hanyang.ac.kr honam.ac.kr hongik.ac.kr hoseo.ac.kr howon.ac.kr hufs.ac.kr hytu.ac.kr icu.ac.kr ikw.ac.kr
inchon.ac.kr inha.ac.kr inje.ac.kr jeonju.ac.kr joongbu.ac.kr jwu.ac.kr kangnam.ac.kr kau.ac.kr kaya.ac.kr kcu.ac.kr kdu.ac.kr kduniv.ac.kr khu.ac.kr
kkot.ac.kr kmou.ac.kr konkuk.ac.kr konyang.ac.kr korea.ac.kr kosin.ac.kr kpu.ac.kr mokwon.ac.kr nambu.ac.kr nsu.ac.kr pcu.ac.kr ptu.ac.kr ptuniv.ac.kr
pufs.ac.kr sangha.ac.kr sangji.ac.kr sch.ac.kr sehan.ac.kr sejong.ac.kr seonam.ac.kr seowon.ac.kr sgu.ac.kr silla.ac.kr sjs.ac.kr skhu.ac.kr
skku.ac.kr skuniv.ac.kr smu.ac.kr sogang.ac.kr stu.ac.kr suwon.ac.kr syu.ac.kr taegu.ac.kr taejae.ac.kr taejon.ac.kr tau.ac.kr tit.ac.kr u1.ac.kr
ulsan.ac.kr uos.ac.kr ust.ac.kr uu.ac.kr woosuk.ac.kr wsu.ac.kr yewon.ac.kr yongin.ac.kr yonsei.ac.kr ysu.ac.kr
ku.lt lkka.lt lmta.lt lzua.lt su.lt vda.lt vdu.lt vgtu.lt vpu.lt
ba.lv dau.lv jvlma.lv lama.lv llu.lv lma.lv rau.lv rpiva.lv rtu.lv ru.lv tsi.lv va.lv
anahuac.mx buap.mx ceti.mx cetys.mx ceu.edu.mx ceux.mx colmex.mx ebc.mx i.edu.mx ipn.edu.mx ita.mx itam.mx itc.mx iteso.mx itq.edu.mx itson.mx
lef.upn.mx reduaeh.mx reduaz.mx tec.mx tecbc.mx uaa.mx uaaan.mx uabc.mx uabcs.mx uabjo.mx uacam.mx uach.mx uacj.mx uadec.mx uady.mx uaem.mx uaemex.mx
uaf.mx uag.mx uagro.mx ual.mx uam.mx uan.mx uanl.mx uaq.mx uas.mx uasnet.mx uat.mx uatx.mx ucol.mx udg.mx udla.mx udlap.mx udo.mx ugto.mx uia.mx
ujat.mx ujed.mx umar.mx unacar.mx unach.mx unitec.mx univa.mx uno.mx up.mx upaep.mx upn.mx uqroo.mx ur.mx uson.mx utm.mx uvp.mx
apu.edu.my bac.edu.my bmi.edu.my city.edu.my help.edu.my i4p.edu.my iact.edu.my ipb.edu.my ipbl.edu.my ipda.edu.my ipik.edu.my ipip.edu.my ipks.edu.my
ippm.edu.my iprm.edu.my ktd.edu.my mmu.edu.my msu.edu.my oum.edu.my pkb.edu.my pmm.edu.my psa.edu.my psp.edu.my puo.edu.my udm.edu.my ukm.my um.edu.my
umk.edu.my ump.edu.my ums.edu.my umt.edu.my unimas.my uow.edu.my upm.edu.my usm.my utm.my utp.edu.my uum.edu.my wou.edu.my xmu.edu.my
aereshogeschool.nl ddu.nl eur.nl hanze.nl hku.nl hotelschool.nl hro.nl hsleiden.nl hu.nl hva.nl inholland.nl iss.nl nhtv.nl nyenrode.nl ou.nl roac.nl
rsm.nl ru.nl tilburguniversity.nl unimaas.nl utwente.nl uvh.nl vu.nl zuyd.nl
aho.no bi.no hia.no hib.no hibo.no hifm.no hil.no himolde.no nhh.no nih.no nith.no nla.no nlh.no nmh.no uia.no uis.no uit.no umb.no
ara.ac.nz aut.ac.nz canterbury.ac.nz lincoln.ac.nz massey.ac.nz nmit.ac.nz vuw.ac.nz waikato.ac.nz
uap.edu.pe uch.edu.pe ucv.edu.pe udch.edu.pe udep.edu.pe udh.edu.pe udl.edu.pe uigv.edu.pe umb.edu.pe unac.edu.pe unap.edu.pe unas.edu.pe unc.edu.pe
uncp.edu.pe une.edu.pe unfv.edu.pe uni.edu.pe unp.edu.pe unu.edu.pe up.edu.pe upao.edu.pe upc.edu.pe upch.edu.pe upci.edu.pe upeu.edu.pe upla.edu.pe
upt.edu.pe urp.edu.pe uss.edu.pe utp.edu.pe
addu.edu.ph admu.edu.ph adnu.edu.ph adzu.edu.ph bsu.edu.ph ceu.edu.ph cmu.edu.ph csu.edu.ph dlsu.edu.ph feu.edu.ph iacademy.ph isu.edu.ph lpu.edu.ph
mcu.edu.ph mvc.edu.ph neu.edu.ph plm.edu.ph psu.edu.ph pup.edu.ph rtu.edu.ph ssu.edu.ph su.edu.ph swu.edu.ph tup.edu.ph ua.edu.ph uap.edu.ph ub.edu.ph
ucv.edu.ph ue.edu.ph unc.edu.ph unp.edu.ph upb.edu.ph upd.edu.ph upm.edu.ph upv.edu.ph urc.edu.ph usm.edu.ph usp.ph ust.edu.ph uv.edu.ph
ae.katowice.pl ae.krakow.pl ae.poznan.pl ae.wroc.pl ahe.edu.pl am.katowice.pl amu.edu.pl amuz.gda.pl amuz.krakow.pl amuz.lodz.pl amuz.poznan.pl
amuz.wroc.pl ap.edu.pl ap.siedlce.pl ar.krakow.pl ar.lublin.pl ar.szczecin.pl ar.wroc.pl asp.gda.pl asp.krakow.pl asp.lodz.pl asp.poznan.pl asp.waw.pl
asp.wroc.pl aspkat.edu.pl at.edu.pl au.poznan.pl awf.edu.pl awf.gda.pl awf.katowice.pl awf.krakow.pl awf.poznan.pl awf.wroc.pl chopin.edu.pl
collegium.edu.pl dswe.wroc.pl eas.edu.pl filmowka.lodz.pl gallus.pl gwsh.pl ifg.com.pl ksw.edu.pl lazarski.pl man.radom.pl nkrriwf.pl p.lodz.pl
pb.bialystok.pl pcz.czest.pl pg.gda.pl pjwstk.edu.pl pk.edu.pl po.opole.pl pol.lublin.pl polsl.gliwice.pl prz.rzeszow.pl pu.kielce.pl puls.edu.pl
put.poznan.pl pw.edu.pl pwr.wroc.pl pwst.krakow.pl pwsz.pila.pl pz.zgora.pl sggw.waw.pl sgh.waw.pl tu.kielce.pl tu.koszalin.pl ub.edu.pl uksw.edu.pl
uni.lodz.pl uni.opole.pl uni.torun.pl uni.wroc.pl univ.gda.pl univ.rzeszow.pl us.edu.pl uth.edu.pl utp.edu.pl uwm.edu.pl vistula.edu.pl wlodkowic.pl
wsei.lublin.pl wsfiz.edu.pl wsh.edu.pl wship.edu.pl wsinf.edu.pl wsisiz.edu.pl wsiz.rzeszow.pl wsm.gdynia.pl wsm.szczecin.pl wsp.czest.pl
wsp.krakow.pl wsp.slupsk.pl wsp.zgora.pl wspiz.edu.pl wsz-pou.edu.pl wsz.pl wszim.edu.pl zut.edu.pl
cocite.pt enautica.pt esad.pt eshte.pt iade.pt inp.pt ipb.pt ipbeja.pt ipc.pt ipca.pt ipcb.pt ipg.pt ipl.pt ipleiria.pt ipp.pt ips.pt ipt.pt ipvc.pt
isai.pt isbb.pt iscet.pt isg.pt isla.pt ispa.pt ispab.pt ispgaya.pt istec.pt istp.pt pedago.pt ua.pt uac.pt ualg.pt uatla.pt ubi.pt ucp.pt uevora.pt
ufp.pt ul.pt ulusiada.pt uma.pt uminho.pt umoderna.pt uni.pt univ-ab.pt unl.pt uportu.pt utad.pt utl.pt
aistedaab.ro arteiasi.ro ase.ro central.ucv.ro emanuel.ro iaim.ro pub.ro rau.ro sibiu.ro spiruharet.ro tuiasi.ro uab.ro uaic.ro uartdcluj.ro uat.ro
uauim.ro uav.ro ub.ro ubbcluj.ro ubm.ro uem.ro ugal.ro ulbsibiu.ro unitbv.ro univ-ovidius.ro univcb.ro uoradea.ro upa.ro upet.ro upg-ploiesti.ro
upit.ro upm.ro usv.ro utcb.ro utcluj.ro utgjiu.ro utm.ro utt.ro uvt.ro uvvg.ro valahia.ro
bth.se du.se gu.se hb.se hdk.gu.se hgo.se hh.se hhs.se hig.se hik.se his.se hj.se hkr.se htu.se kau.se ki.se konstfack.se lhs.se liu.se luth.se mah.se
mdh.se miun.se oru.se sh.se slu.se umu.se vxu.se wmu.se
ite.edu.sg np.edu.sg nyp.edu.sg rp.edu.sg sim.edu.sg smu.edu.sg sp.edu.sg suss.edu.sg tp.edu.sg uas.edu.sg
aku.sk aos.sk dti.sk euba.sk selyeuni.sk sevs.sk stuba.sk tnuni.sk truni.sk tuke.sk tuzvo.sk ucm.sk ukf.sk umb.sk uniag.sk uninova.sk unipo.sk
uniza.sk upjs.sk vsm.sk vsmu.sk vssladkovicovo.sk vsvu.sk
ait.ac.th aru.ac.th bu.ac.th buu.ac.th chula.ac.th cmru.ac.th cmu.ac.th cpu.ac.th dpu.ac.th dusit.ac.th eau.ac.th hcu.ac.th hu.ac.th kbu.ac.th
kku.ac.th kmitl.ac.th ku.ac.th lcat.ac.th lcct.ac.th lpru.ac.th mfu.ac.th mju.ac.th msu.ac.th mut.ac.th nu.ac.th psu.ac.th ptu.ac.th ru.ac.th
sau.ac.th spu.ac.th stou.ac.th su.ac.th sut.ac.th swu.ac.th tsu.ac.th tu.ac.th ubu.ac.th utcc.ac.th vu.ac.th wu.ac.th
adu.edu.tr agri.edu.tr agu.edu.tr ahap.edu.tr aku.edu.tr arel.edu.tr asbu.edu.tr atu.edu.tr beu.edu.tr beun.edu.tr btu.edu.tr cag.edu.tr comu.edu.tr
cu.edu.tr deu.edu.tr ebyu.edu.tr ege.edu.tr etu.edu.tr gazi.edu.tr gop.edu.tr gsu.edu.tr gtu.edu.tr gyte.edu.tr hbv.edu.tr hku.edu.tr hun.edu.tr
ibu.edu.tr idu.edu.tr ieu.edu.tr ikc.edu.tr iku.edu.tr iste.edu.tr iszu.edu.tr itu.edu.tr iyte.edu.tr khas.edu.tr kku.edu.tr kmu.edu.tr kou.edu.tr
ksu.edu.tr ktu.edu.tr ktun.edu.tr ku.edu.tr mcbu.edu.tr mef.edu.tr mku.edu.tr msu.edu.tr mu.edu.tr nku.edu.tr nny.edu.tr odu.edu.tr ogu.edu.tr
ohu.edu.tr omu.edu.tr pau.edu.tr sdu.edu.tr tau.edu.tr thk.edu.tr ybu.edu.tr yyu.edu.tr
au.edu.tw cgu.edu.tw chu.edu.tw cju.edu.tw cyut.edu.tw dyu.edu.tw fcu.edu.tw hcu.edu.tw hfu.edu.tw isu.edu.tw ksit.edu.tw ksu.edu.tw lhu.edu.tw
ltc.edu.tw ltu.edu.tw mcu.edu.tw nhu.edu.tw ouk.edu.tw pccu.edu.tw scc.edu.tw scu.edu.tw shu.edu.tw stut.edu.tw thu.edu.tw tku.edu.tw tmtc.edu.tw
tpec.edu.tw ttit.edu.tw ttu.edu.tw utaipei.edu.tw yzu.edu.tw
abdn.ac.uk abertay.ac.uk anglia.ac.uk arts.ac.uk aston.ac.uk bangor.ac.uk bath.ac.uk bathspa.ac.uk bbk.ac.uk bcu.ac.uk beds.ac.uk bham.ac.uk
bolton.ac.uk bournemouth.ac.uk brad.ac.uk brookes.ac.uk brunel.ac.uk btc.ac.uk bton.ac.uk buck.ac.uk bucks.ac.uk cardiff.ac.uk chester.ac.uk
city.ac.uk courtauld.ac.uk coventry.ac.uk cranfield.ac.uk cumbria.ac.uk derby.ac.uk dmu.ac.uk dundee.ac.uk eastcoast.ac.uk edgehill.ac.uk
eselondon.ac.uk essex.ac.uk ex.ac.uk falmouth.ac.uk gcal.ac.uk glam.ac.uk glos.ac.uk gold.ac.uk gre.ac.uk gsa.ac.uk herts.ac.uk heythrop.ac.uk
hud.ac.uk hull.ac.uk huron.ac.uk hw.ac.uk ifslearning.ac.uk ioe.ac.uk kcl.ac.uk keele.ac.uk kingston.ac.uk lamp.ac.uk lancs.ac.uk lboro.ac.uk le.ac.uk
leedsbeckett.ac.uk lgu.ac.uk limt.co.uk lincoln.ac.uk lis.ac.uk liv.ac.uk ljmu.ac.uk london.ac.uk londonmet.ac.uk lsbf.org.uk mdx.ac.uk mmu.ac.uk
napier.ac.uk ncl-coll.ac.uk ncl.ac.uk newcollege.ac.uk newport.ac.uk northampton.ac.uk northumbria.ac.uk ntu.ac.uk open.ac.uk paisley.ac.uk
plymouth.ac.uk port.ac.uk qub.ac.uk ram.ac.uk rca.ac.uk rcm.ac.uk rdg.ac.uk rgu.ac.uk roehampton.ac.uk royalholloway.ac.uk runshaw.ac.uk salford.ac.uk
sas.ac.uk shu.ac.uk smu.ac.uk solent.ac.uk sruc.ac.uk ssees.ac.uk staffs.ac.uk stir.ac.uk strath.ac.uk sunderland.ac.uk surrey.ac.uk sussex.ac.uk
swan.ac.uk swansea.ac.uk tees.ac.uk tvu.ac.uk uclan.ac.uk ucs.ac.uk uea.ac.uk uel.ac.uk ukc.ac.uk ulster.ac.uk unl.ac.uk uwe.ac.uk uwic.ac.uk
wales.ac.uk warwick.ac.uk westminster.ac.uk williamgilbert.co.uk wimbledon.ac.uk wlv.ac.uk worc.ac.uk wsc.ac.uk
cput.ac.za cut.ac.za dut.ac.za mandela.ac.za msa.ac.za mut.ac.za nwu.ac.za ru.ac.za spu.ac.za tut.ac.za ufh.ac.za uj.ac.za ukzn.ac.za ul.ac.za
ump.ac.za unisa.ac.za univen.ac.za unizulu.ac.za uovs.ac.za up.ac.za uwc.ac.za vut.ac.za wsu.ac.za
cuhk.edu.cn artun.ee ebs.ee ema.edu.ee emu.ee tktk.ee tlu.ee ttu.ee udc.gal uvigo.gal chuhai.edu.hk cityu.edu.hk hkmu.edu.hk hsu.edu.hk ln.edu.hk
polyu.edu.hk etna.io holar.is iti.is khi.is lhi.is ru.is unak.is uni.lu mcast.edu.mt um.edu.mt esitpa.org ipiaget.org iuoart.org thierryschool.org
unesco-ihe.org um.si ung.si upr.si claeh.edu.uy ort.edu.uy ude.edu.uy um.edu.uy universidad.edu.uy
`

/** Their host names, each once. */
export const UNIVERSITIES: readonly string[] = [...new Set(DOMAINS.trim().split(/\s+/))].map((domain) => `www.${domain}`)
