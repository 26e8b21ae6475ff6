//! Sync and help: what is in order, what is not, and what to do.

use super::texts;

texts! {
    TITLE: "Sync and help", "Conexión y ayuda", "कनेक्शन और मदद";
    ALL_WELL: "Everything is in order.", "Todo está en orden.", "सब ठीक है।";
    SOME_AMISS_ONE: "{count} thing needs a look.", "Hay {count} cosa que mirar.", "{count} बात देखनी है।";
    SOME_AMISS_MORE: "{count} things need a look.", "Hay {count} cosas que mirar.", "{count} बातें देखनी हैं।";
    GOOD: "In order", "En orden", "ठीक";
    LOOK: "Look at this", "Mire esto", "इसे देखें";
    BAD: "Act on this", "Actúe", "कुछ करें";
    LAST_ERROR: "Last trouble {time}: {reason}", "Último problema {time}: {reason}", "पिछली दिक्कत {time}: {reason}";

    LINE: "Line to head office", "Línea con la central", "मुख्यालय से लाइन";
    LINE_NONE: "This store works on its own; nothing is sent anywhere.", "Esta tienda trabaja por su cuenta; no se envía nada.", "यह स्टोर अकेले काम करता है; कहीं कुछ नहीं भेजा जाता।";
    LINE_UP: "Connected by {transport} since {time}.", "Conectada por {transport} desde {time}.", "{time} से {transport} द्वारा जुड़ी है।";
    LINE_UP_MQTT: "Connected by MQTT since {time}: slower than QUIC, and just as safe. If it stays so for days, ask IT to open UDP to head office.", "Conectada por MQTT desde {time}: más lenta que QUIC e igual de segura. Si sigue así días, pida a informática que abra UDP hacia la central.", "{time} से MQTT द्वारा जुड़ी है: QUIC से धीमी, उतनी ही सुरक्षित। कई दिन ऐसा रहे तो आईटी से मुख्यालय की ओर UDP खुलवाएँ।";
    LINE_COMING: "Just connecting.", "Conectando ahora.", "अभी जुड़ रही है।";
    LINE_DOWN: "Head office is out of reach. Go on working: everything is kept here and sent later. If other internet in the store works, call IT.", "No se alcanza la central. Siga trabajando: todo se guarda aquí y se envía después. Si otro internet de la tienda funciona, llame a informática.", "मुख्यालय से संपर्क नहीं। काम करते रहें: सब यहाँ सुरक्षित है और बाद में भेजा जाएगा। स्टोर का बाकी इंटरनेट चल रहा हो तो आईटी को बुलाएँ।";
    SWITCHES: "The way has changed {count} times since the start.", "La vía ha cambiado {count} veces desde el arranque.", "शुरू से अब तक रास्ता {count} बार बदला।";

    BACKLOG: "Waiting for head office", "Pendiente de la central", "मुख्यालय के लिए बाकी";
    BACKLOG_NONE: "Head office has everything.", "La central lo tiene todo.", "मुख्यालय के पास सब कुछ है।";
    BACKLOG_SOME: "{records} changed figures and {movements} movements wait. They go by themselves once there is a line.", "Esperan {records} cifras cambiadas y {movements} movimientos. Se envían solos cuando haya línea.", "{records} बदले आँकड़े और {movements} आवाजाही बाकी हैं। लाइन आते ही अपने आप जाएँगे।";
    BACKLOG_STUCK: "There is a line, and they do not go: ask IT to look at head office's server.", "Hay línea y no se envían: pida a informática que mire el servidor de la central.", "लाइन है पर जा नहीं रहे: आईटी से मुख्यालय का सर्वर दिखवाएँ।";

    CERTIFICATE: "Certificate for head office", "Certificado para la central", "मुख्यालय का प्रमाणपत्र";
    PAGE_CERTIFICATE: "Certificate of this page", "Certificado de esta página", "इस पन्ने का प्रमाणपत्र";
    CERTIFICATE_GOOD: "Valid for {days}, until {date}.", "Vale {days} más, hasta {date}.", "{days} और, {date} तक मान्य।";
    CERTIFICATE_SOON: "Valid for {days} only, until {date}. Ask IT to renew it before then.", "Solo vale {days} más, hasta {date}. Pida a informática que lo renueve antes.", "केवल {days}, {date} तक मान्य। उससे पहले आईटी से नया कराएँ।";
    CERTIFICATE_OVER: "It ended on {date}. Ask IT to renew it now.", "Caducó el {date}. Pida a informática que lo renueve ya.", "{date} को समाप्त हो गया। अभी आईटी से नया कराएँ।";
    CERTIFICATE_UNREADABLE: "Its file cannot be read. Ask IT to look at it.", "No se puede leer su archivo. Pida a informática que lo mire.", "इसकी फ़ाइल नहीं पढ़ी जा रही। आईटी से दिखवाएँ।";

    CLOCK: "Clock of the store server", "Reloj del servidor", "स्टोर सर्वर की घड़ी";
    CLOCK_GOOD: "It agrees with head office.", "Coincide con la central.", "मुख्यालय से मेल खाती है।";
    CLOCK_OFF_AHEAD: "It is {age} ahead of head office. Times and promises will look wrong: ask IT to set it.", "Va {age} adelantado respecto a la central. Las horas se verán mal: pida a informática que lo ponga en hora.", "मुख्यालय से {age} आगे है। समय गलत दिखेंगे: आईटी से ठीक कराएँ।";
    CLOCK_OFF_BEHIND: "It is {age} behind head office. Times and promises will look wrong: ask IT to set it.", "Va {age} atrasado respecto a la central. Las horas se verán mal: pida a informática que lo ponga en hora.", "मुख्यालय से {age} पीछे है। समय गलत दिखेंगे: आईटी से ठीक कराएँ।";
    CLOCK_UNKNOWN: "Head office has not been heard since the start, so nobody can compare.", "La central no ha dado señales desde el arranque; no se puede comparar.", "शुरू से मुख्यालय से कुछ नहीं सुना, इसलिए मिलान नहीं हो सका।";

    DISK: "Disk of the store server", "Disco del servidor", "स्टोर सर्वर की डिस्क";
    DISK_GOOD: "{free} GB free.", "{free} GB libres.", "{free} जीबी खाली।";
    DISK_LOW: "Only {free} GB free. Ask IT to make room before it is full.", "Solo {free} GB libres. Pida a informática que haga sitio antes de que se llene.", "केवल {free} जीबी खाली। भरने से पहले आईटी से जगह बनवाएँ।";
    DISK_REFUSES: "It does not take changes. Tills keep theirs and send them again; ask IT to make room now.", "No acepta cambios. Las cajas guardan los suyos y los reenvían; pida a informática que haga sitio ya.", "डिस्क बदलाव नहीं ले रही। काउंटर अपना रखकर फिर भेजेंगे; अभी आईटी से जगह बनवाएँ।";
    DISK_UNKNOWN: "How full it is cannot be read.", "No se puede leer cuánto está lleno.", "कितनी भरी है, पढ़ा नहीं जा सका।";

    SOURCES: "Tills and other sources", "Cajas y otras fuentes", "काउंटर और दूसरे स्रोत";
    SOURCES_WHY: "A till that is silent while it sells is not connected: look at its cable and its program, then call IT.", "Una caja que vende y calla no está conectada: mire su cable y su programa, y llame a informática.", "जो काउंटर बिक्री करते हुए चुप है वह जुड़ा नहीं है: केबल और प्रोग्राम देखें, फिर आईटी को बुलाएँ।";
    NO_SOURCES: "Nothing has reported to this store yet.", "Nadie ha informado a esta tienda todavía.", "इस स्टोर को अभी किसी ने कुछ नहीं भेजा।";
    SOURCE: "Source", "Fuente", "स्रोत";
    LAST_REPORT: "Last report", "Último informe", "पिछली सूचना";
    REPORTED: "{time}, {age} ago", "{time}, hace {age}", "{time}, {age} पहले";
    LONG_SILENT: "not lately", "no últimamente", "हाल में नहीं";
    NEVER_REPORTED: "never yet", "nunca todavía", "अभी तक कभी नहीं";
    ALL_THE_WAY: "At head office", "En la central", "मुख्यालय में";
    WAY_ARRIVED: "{time}, {age} ago", "{time}, hace {age}", "{time}, {age} पहले";
    WAY_UNDER_WAY: "not yet: recorded {time}", "aún no: registrado {time}", "अभी नहीं: {time} दर्ज";
    WAY_AWAITED: "nothing yet", "nada todavía", "अभी कुछ नहीं";

    CANARY: "From each source to head office", "De cada fuente a la central", "हर स्रोत से मुख्यालय तक";
    CANARY_GOOD: "One movement of each source is followed all the way; all have lately arrived.", "Se sigue un movimiento de cada fuente hasta el final; todos han llegado hace poco.", "हर स्रोत की एक आवाजाही अंत तक देखी जाती है; सब हाल में पहुँची हैं।";
    CANARY_NO_HUB: "{source}: recorded here {time} and not at head office yet; nothing has come all the way for {age}. Look at the line above; if it is in order, call IT.", "{source}: registrado aquí {time} y aún no en la central; nada ha llegado hasta el final desde hace {age}. Mire la línea arriba; si está en orden, llame a informática.", "{source}: यहाँ {time} दर्ज हुआ, मुख्यालय में अभी नहीं; {age} से कुछ अंत तक नहीं पहुँचा। ऊपर लाइन देखें; वह ठीक हो तो आईटी को बुलाएँ।";
    CANARY_NO_MOVEMENT: "{source}: nothing to follow has come from it for {age}. If it has sold meanwhile, it is not connected: look at its cable and its program, then call IT.", "{source}: desde hace {age} no llega nada que seguir. Si ha vendido entretanto, no está conectada: mire su cable y su programa, y llame a informática.", "{source}: {age} से इससे कुछ नहीं आया। इस बीच बिक्री हुई हो तो यह जुड़ा नहीं है: केबल और प्रोग्राम देखें, फिर आईटी को बुलाएँ।";
    POS_LOG: "Logs of the tills' databases", "Registros de las bases de datos de las cajas", "काउंटरों के डेटाबेस के लॉग";
    POS_LOG_REFUSED: "{source}: its log cannot be followed, so sales and corrections are seen a little later. Nothing is lost. For IT: {reason}", "{source}: no se puede seguir su registro; las ventas y correcciones se ven algo más tarde. No se pierde nada. Para informática: {reason}", "{source}: इसका लॉग नहीं पढ़ा जा सकता, इसलिए बिक्री और सुधार थोड़ी देर से दिखते हैं। कुछ नहीं खोता। आईटी के लिए: {reason}";
    READ_UP_TO: "Read up to", "Leído hasta", "यहाँ तक पढ़ा";

    QUARANTINE: "Set aside", "Apartado", "अलग रखा";
    QUARANTINE_NONE: "Everything from head office could be taken.", "Todo lo de la central se pudo tomar.", "मुख्यालय से आया सब कुछ ले लिया गया।";
    QUARANTINE_WHY: "These came from head office and could not be taken. Nothing else was held up. Try them again; what stays is for IT.", "Esto vino de la central y no se pudo tomar. No detuvo nada más. Pruebe otra vez; lo que quede es para informática.", "ये मुख्यालय से आए पर लिए नहीं जा सके। बाकी कुछ नहीं रुका। फिर आज़माएँ; जो रह जाए वह आईटी के लिए है।";
    RETRY: "Try again", "Probar otra vez", "फिर आज़माएँ";
    RETRY_NOT: "This version cannot read it; IT has to upgrade the store server.", "Esta versión no puede leerlo; informática tiene que actualizar el servidor.", "यह संस्करण इसे नहीं पढ़ सकता; आईटी को सर्वर अपग्रेड करना होगा।";
    RETRIED: "It has been taken.", "Se ha tomado.", "ले लिया गया।";
    RETRY_REFUSED: "It still cannot be taken: {reason}", "Sigue sin poder tomarse: {reason}", "अब भी नहीं लिया जा सका: {reason}";
    SHOWN_FIRST: "The newest {count}.", "Los {count} más nuevos.", "सबसे नए {count}।";

    SUPPORT: "For support", "Para soporte", "सहायता के लिए";
    SUPPORT_WHY: "Copy this when you call for help. There are no names, addresses or codes in it.", "Cópielo cuando pida ayuda. No contiene nombres, direcciones ni códigos.", "मदद माँगते समय इसे कॉपी करें। इसमें नाम, पते या कोड नहीं हैं।";
    COPY: "Copy", "Copiar", "कॉपी करें";
    COPIED: "Copied.", "Copiado.", "कॉपी हो गया।";
    WHO_DID: "Who did what", "Quién hizo qué", "किसने क्या किया";
}
